package survive

import (
	"context"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"github.com/secretfs/secretfs/tests/harness"
)

// TestBothKilledWhileAsked kills holder and worker while the holder's canary
// waits in the mount for an answer. Its thread cannot be killed; it must not keep
// the connection, or every reader would hang for ever.
func TestBothKilledWhileAsked(t *testing.T) {
	m := harness.New(t, harness.Options{Plain: "a: one\n"})
	for range 2 {
		s := m.Status()
		kill(t, s.WorkerPID, syscall.SIGSTOP)
		time.Sleep(1500 * time.Millisecond) // the canary asks once a second
		kill(t, s.HolderPID, syscall.SIGKILL)
		kill(t, s.WorkerPID, syscall.SIGKILL)
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		// In a process of its own: should it hang, the test does not.
		out, err := exec.CommandContext(ctx, "stat", m.Dir).CombinedOutput()
		if ctx.Err() != nil {
			_ = syscall.Unmount(m.Dir, syscall.MNT_FORCE|syscall.MNT_DETACH)
			t.Fatal("stat of the mount hangs")
		}
		cancel()
		if err == nil {
			t.Errorf("stat of the dead mount: %s", out)
		}
		m.Mount()
		if got := m.Read("a"); got != "one" {
			t.Errorf("got %q", got)
		}
	}
}
