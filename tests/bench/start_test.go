package bench

import (
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/secretfs/secretfs/tests/harness"
)

// BenchmarkFirstRead is from the start of `secretfs mount` to the first secret
// read, the MAC over the whole file checked.
func BenchmarkFirstRead(b *testing.B) {
	for _, size := range []struct {
		n   int
		bar float64 // of `sops -d` of the same file; 0: seconds are the bar
	}{{1000, 1}, {10_000, 0.2}, {100_000, 0}} {
		for _, how := range []string{whole, listed} {
			b.Run(fmt.Sprintf("%d/%s", size.n, how), func(b *testing.B) {
				m := large(b, size.n, how)
				var secretfs, sops []time.Duration
				for b.Loop() {
					secretfs = append(secretfs, firstRead(b, m, size.n/2))
					end(b, m)
					if size.bar > 0 {
						sops = append(sops, decrypt(b, m))
					}
				}
				what := fmt.Sprintf("mount to first read, %d secrets, %s", size.n, how)
				if size.bar > 0 {
					results.ratio(b, what+"; peer: sops -d", median(secretfs), median(sops), size.bar)
				} else {
					results.within(b, what, median(secretfs).Seconds(), 1.5, "s")
				}
			})
		}
	}
}

func firstRead(b *testing.B, m *harness.Mount, i int) time.Duration {
	b.Helper()
	start := time.Now()
	m.Mount()
	got, err := os.ReadFile(m.Path(keyName(i)))
	took := time.Since(start)
	if want := fmt.Sprintf("%064d", i); err != nil || string(got) != want {
		b.Fatalf("read %q, %v; expected %q", got, err, want)
	}
	return took
}

// BenchmarkMountReady is `secretfs mount` alone: it must not grow with the sops
// file.
func BenchmarkMountReady(b *testing.B) {
	small, big := large(b, 10, whole), large(b, 100_000, whole)
	var smalls, bigs []time.Duration
	for b.Loop() {
		smalls = append(smalls, ready(b, small))
		bigs = append(bigs, ready(b, big))
	}
	results.ratio(b, "mount ready, 100000 secrets in the file; peer: 10 secrets", median(bigs), median(smalls), 1.25)
}

func ready(b *testing.B, m *harness.Mount) time.Duration {
	b.Helper()
	start := time.Now()
	m.Mount()
	took := time.Since(start)
	end(b, m)
	return took
}
