package bench

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/secretfs/secretfs/tests/harness"
)

// settling is how long a worker is left alone before its memory is looked at.
const settling = 4 * time.Second

// BenchmarkMemory looks at the resident memory of an idle worker: after its
// start, and after reads that must leave nothing behind.
func BenchmarkMemory(b *testing.B) {
	for _, size := range []struct {
		n, bar int
		how    string
	}{{10, 12, listed}, {10_000, 24, listed}, {10_000, 24, whole}} {
		b.Run(fmt.Sprintf("%d/%s", size.n, size.how), func(b *testing.B) {
			m := large(b, size.n, size.how)
			m.Mount()
			var idle, after []float64
			for b.Loop() {
				time.Sleep(settling)
				idle = append(idle, resident(b, m))
				for i := range min(100, size.n) {
					m.Read(keyName(i))
				}
				time.Sleep(settling)
				after = append(after, resident(b, m))
			}
			// Of the idle ones only the first is of a worker that has read nothing.
			what := fmt.Sprintf("resident memory of the worker, %d secrets, %s", size.n, size.how)
			results.within(b, what+", idle", idle[0], float64(size.bar), "MiB")
			results.within(b, what+", 100 read: growth from the first round to the last", after[len(after)-1]-after[0], 1, "MiB")
			results.say(what+", 100 read", fmt.Sprintf("%.4g MiB", after[0]), fmt.Sprintf("%.4g MiB", idle[0]), after[0]/idle[0])
		})
	}
}

// resident is VmRSS in MiB (proc_pid_status(5)).
func resident(b *testing.B, m *harness.Mount) float64 {
	b.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", m.Status().WorkerPID))
	if err != nil {
		b.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "VmRSS:")
	var kib float64
	if _, err := fmt.Sscan(rest, &kib); err != nil {
		b.Fatal(err)
	}
	return kib / 1024
}
