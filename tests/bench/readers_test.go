package bench

import (
	"fmt"
	"testing"
	"time"
)

// BenchmarkReaders compares many readers at once with two.
func BenchmarkReaders(b *testing.B) {
	_, static := newStatic(b)
	m := token(b)
	rates := map[int][]float64{}
	statics := map[int][]float64{}
	for b.Loop() {
		for _, readers := range []int{2, 64} {
			rates[readers] = append(rates[readers], rate(b, m.Path("token"), readers))
			statics[readers] = append(statics[readers], rate(b, static, readers))
		}
	}
	results.atLeast(b, "reads a second, 64 readers; peer: 2 readers", median(rates[64]), median(rates[2]), 1)
	for _, readers := range []int{2, 64} {
		ours, theirs := median(rates[readers]), median(statics[readers])
		results.say(fmt.Sprintf("reads a second, %d readers; peer: static passthrough file", readers),
			fmt.Sprintf("%.0f/s", ours), fmt.Sprintf("%.0f/s", theirs), ours/theirs)
	}
}

// BenchmarkColdBurst opens one secret that nobody has read from a thousand
// threads at the same time. That it is decrypted once, package fs tests.
func BenchmarkColdBurst(b *testing.B) {
	m := token(b)
	const threads = 1000
	var took []time.Duration
	for b.Loop() {
		start := time.Now()
		if err := self("burst", m.Path("token"), fmt.Sprint(threads)).Run(); err != nil {
			b.Fatal(err)
		}
		took = append(took, time.Since(start))
	}
	results.say("1000 opens at once of a secret that nobody has read, threads started included", text(took[0]), "", 0)
}
