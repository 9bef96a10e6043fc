package survive

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/secretfs/secretfs/tests/harness"
)

// foreground mounts and returns the holder with a way to wait for it.
func foreground(t *testing.T, m *harness.Mount) (holder *exec.Cmd, ended chan error) {
	t.Helper()
	holder, ended = m.Start(), make(chan error, 1)
	go func() { ended <- holder.Wait() }()
	return holder, ended
}

// stopped checks that the holder ends with exit code 0 and leaves nothing.
func stopped(t *testing.T, m *harness.Mount, worker int, ended chan error) {
	t.Helper()
	select {
	case err := <-ended:
		if err != nil {
			t.Errorf("the holder ended with %v, want exit code 0", err)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("the holder goes on")
	}
	gone(t, m, worker)
	if _, err := os.Stat(m.Control); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the control socket is left: %v", err)
	}
}

func TestStopByEveryMeans(t *testing.T) {
	for _, c := range []struct {
		name string
		stop func(m *harness.Mount, holder int) error
	}{
		{"SIGTERM", func(_ *harness.Mount, holder int) error { return syscall.Kill(holder, syscall.SIGTERM) }},
		{"SIGINT", func(_ *harness.Mount, holder int) error { return syscall.Kill(holder, syscall.SIGINT) }},
		{"secretfs umount", func(m *harness.Mount, _ int) error { _, err := m.Run("umount"); return err }},
		{"umount(8)", func(m *harness.Mount, _ int) error { return exec.Command("umount", m.Dir).Run() }},
		{"umount -l", func(m *harness.Mount, _ int) error { return exec.Command("umount", "-l", m.Dir).Run() }},
		{"umount -f", func(m *harness.Mount, _ int) error { return exec.Command("umount", "-f", m.Dir).Run() }},
		{"fusermount3 -u", func(m *harness.Mount, _ int) error { return exec.Command("fusermount3", "-u", m.Dir).Run() }},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := unmounted(t)
			holder, ended := foreground(t, m)
			worker := m.Status().WorkerPID
			if got := m.Read("a"); got != "one" {
				t.Errorf("got %q", got)
			}
			if err := c.stop(m, holder.Process.Pid); err != nil {
				t.Fatal(err)
			}
			stopped(t, m, worker, ended)
		})
	}
}

// TestStopWhileBusy detaches, says who is busy, and lets who has a file open
// read on.
func TestStopWhileBusy(t *testing.T) {
	m := harness.New(t, harness.Options{Plain: plain(0), NoMount: true})
	holder, ended := foreground(t, m)
	worker := m.Status().WorkerPID
	f := open(t, m.Path("s0"))
	if out, err := m.Run("umount"); err == nil || !strings.Contains(out, fmt.Sprintf("unmounting %s: it is in use by ", m.Dir)) {
		t.Errorf("secretfs umount of a busy mount: %v\n%s", err, out)
	}
	if got := m.Read("s1"); got != value(0) {
		t.Error("the refused umount has done something")
	}
	kill(t, holder.Process.Pid, syscall.SIGTERM)
	stopped(t, m, worker, ended)
	if got := rest(t, f); got != value(0) {
		t.Errorf("the open file: %d bytes", len(got))
	}
	want := fmt.Sprintf("(pid %d)", os.Getpid())
	if log := m.Log(); !strings.Contains(log, "still in use, detaching it from the tree") || !strings.Contains(log, want) {
		t.Errorf("the log does not say that %s is busy:\n%s", want, log)
	}
}

// TestStopUnderWaitingReaders must neither hang nor leave them waiting.
func TestStopUnderWaitingReaders(t *testing.T) {
	m := unmountedStuck(t, "60s")
	holder, ended := foreground(t, m)
	worker := m.Status().WorkerPID
	w := wait(t, m.Path("slow"))
	kill(t, holder.Process.Pid, syscall.SIGTERM)
	stopped(t, m, worker, ended)
	if err := w.end(t, 20*time.Second); err == nil {
		t.Errorf("the reader got %q", w.out.String())
	}
}

// TestMountedOnTop hides the mount below another one: it goes on, and stopping
// it does not take the wrong one away.
func TestMountedOnTop(t *testing.T) {
	m := unmounted(t)
	holder, ended := foreground(t, m)
	if err := syscall.Mount("none", m.Dir, "tmpfs", 0, ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for mountsOn(t, m.Dir) > 0 {
			if err := syscall.Unmount(m.Dir, syscall.MNT_DETACH); err != nil {
				t.Fatal(err)
			}
		}
	})
	m.KillWorker()
	worker := m.Status().WorkerPID
	if out, err := m.Run("umount", "--lazy"); err == nil || !strings.Contains(out, "something else is mounted on top of it") {
		t.Errorf("secretfs umount: %v\n%s", err, out)
	}
	kill(t, holder.Process.Pid, syscall.SIGTERM)
	select {
	case err := <-ended:
		if err == nil || !strings.Contains(m.Log(), "unmounting "+m.Dir+": something else is mounted on top of it") {
			t.Errorf("the holder ended with %v:\n%s", err, m.Log())
		}
	case <-time.After(20 * time.Second):
		t.Fatal("the holder goes on")
	}
	harness.Eventually(t, "the worker ends", func() bool { return syscall.Kill(worker, 0) != nil })
	mounts, _ := os.ReadFile("/proc/self/mounts")
	if !strings.Contains(string(mounts), "none "+m.Dir+" tmpfs") {
		t.Error("the mount on top was taken away")
	}
}
