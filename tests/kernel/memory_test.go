package kernel

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/secretfs/secretfs/tests/harness"
)

// A worker with ten secrets keeps at most 12 MiB in memory, whatever the drivers
// are that the program holds. What reads bring in does not stay.
func TestWorkerIsSmall(t *testing.T) {
	var plain strings.Builder
	for i := range 10 {
		fmt.Fprintf(&plain, "secret-%d: %064d\n", i, i)
	}
	harness.Matrix(t, func(t *testing.T) {
		const most = 12 << 10 // KiB
		m := harness.New(t, harness.Options{Plain: plain.String()})
		worker := m.Status().WorkerPID
		small := func() bool { return resident(t, worker) <= most }
		harness.Eventually(t, "the worker is small after its start", small)
		peak := 0
		for i := range 200 {
			m.Read(fmt.Sprintf("secret-%d", i%10))
			peak = max(peak, resident(t, worker))
		}
		harness.Eventually(t, "it gives back what reads have brought in", func() bool { return resident(t, worker) < peak-1<<10 })
		if !small() {
			t.Errorf("%d KiB after reads", resident(t, worker))
		}
		if log := m.Log(); strings.Contains(log, "tidying") {
			t.Errorf("the log says:\n%s", log)
		}
	})
}

// resident is VmRSS in KiB (proc_pid_status(5)).
func resident(t *testing.T, pid int) (kib int) {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "VmRSS:")
	if _, err := fmt.Sscan(rest, &kib); err != nil {
		t.Fatal(err)
	}
	return kib
}
