package bench

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/secretfs/secretfs/tests/harness"
)

// settling is how long a worker is left alone before its memory is looked at:
// it gives garbage back every five seconds.
const settling = 8 * time.Second

// BenchmarkMemory looks at the resident memory of an idle worker: after its
// start, and after reads, which must leave nothing behind. The first read is not
// counted, it brings in the pages of the program that serve it.
func BenchmarkMemory(b *testing.B) {
	for _, size := range []struct {
		n, bar int
		how    string
	}{{10, 12, listed}, {10_000, 24, listed}, {10_000, 24, whole}} {
		b.Run(fmt.Sprintf("%d/%s", size.n, size.how), func(b *testing.B) {
			m := large(b, size.n, size.how)
			m.Mount()
			worker := workerOf(b, m)
			after := func(reads int) float64 {
				for i := range reads {
					m.Read(keyName(i % size.n))
				}
				time.Sleep(settling)
				return resident(b, worker)
			}
			var idle, one, hundred float64
			for b.Loop() {
				if idle == 0 { // memory does not vary as time does: one round is enough
					idle, one, hundred = after(0), after(1), after(100)
				}
			}
			what := fmt.Sprintf("resident memory of the worker, %d secrets, %s", size.n, size.how)
			results.within(b, what+", idle", idle, float64(size.bar), "MiB")
			results.within(b, what+", growth from 100 reads", hundred-one, 1, "MiB")
		})
	}
}

// workerOf finds the worker without asking it, which would cost it memory.
func workerOf(b *testing.B, m *harness.Mount) (pid int) {
	b.Helper()
	files, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, file := range files {
		text, _ := os.ReadFile(file)
		if argv := strings.Split(string(text), "\x00"); len(argv) > 2 && argv[1] == "worker" && argv[2] == m.Policy {
			pid, _ = strconv.Atoi(strings.Split(file, "/")[2])
		}
	}
	if pid == 0 {
		b.Fatal("there is no worker")
	}
	return pid
}

// resident is VmRSS in MiB (proc_pid_status(5)).
func resident(b *testing.B, pid int) float64 {
	b.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
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
