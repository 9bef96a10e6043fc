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

// stopped checks that the holder ends with exit code 0 and leaves nothing but
// what others have mounted on top.
func stopped(t *testing.T, m *harness.Mount, worker int, ended chan error, others ...int) {
	t.Helper()
	select {
	case err := <-ended:
		if err != nil {
			t.Errorf("the holder ended with %v, want exit code 0", err)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("the holder goes on")
	}
	others = append(others, 0)
	ends(t, m, worker)
	if n := mountsOn(t, m.Dir); n != others[0] {
		t.Errorf("%d mounts are left on %s, want %d", n, m.Dir, others[0])
	}
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

// TestMountedOnTop hides the mount below two other ones: it goes on, and is
// taken away from under them.
func TestMountedOnTop(t *testing.T) {
	for _, c := range []struct {
		name string
		stop func(m *harness.Mount, holder int) error
	}{
		{"SIGTERM", func(_ *harness.Mount, holder int) error { return syscall.Kill(holder, syscall.SIGTERM) }},
		{"umount --lazy", func(m *harness.Mount, _ int) error { _, err := m.Run("umount", "--lazy"); return err }},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := unmounted(t)
			holder, ended := foreground(t, m)
			device := deviceAt(t, m.Dir)
			cover(t, m)
			below := open(t, m.Dir+"/x")
			cover(t, m)
			m.KillWorker()
			worker := m.Status().WorkerPID
			if out, err := m.Run("umount"); err == nil || !strings.Contains(out, "something else is mounted on top of it") {
				t.Errorf("secretfs umount: %v\n%s", err, out)
			}
			if err := c.stop(m, holder.Process.Pid); err != nil {
				t.Fatal(err)
			}
			stopped(t, m, worker, ended, 2)
			if c.name == "SIGTERM" && !strings.Contains(m.Log(), "something else is mounted on top of it, which stays") {
				t.Errorf("the log does not say so:\n%s", m.Log())
			}
			if got := rest(t, below); got != "on top" {
				t.Errorf("a file open on top: %q", got)
			}
			for range 2 {
				if b, err := os.ReadFile(m.Dir + "/x"); string(b) != "on top" {
					t.Errorf("what is on top: %q, %v", b, err)
				}
				if deviceAt(t, m.Dir) == device {
					t.Error("the mount is there")
				}
				if err := syscall.Unmount(m.Dir, 0); err != nil {
					t.Error(err)
				}
			}
		})
	}
}

func deviceAt(t *testing.T, path string) uint64 {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return deviceOf(info)
}

// TestCrashLoopUnderneath must leave no dead mount under another one either.
func TestCrashLoopUnderneath(t *testing.T) {
	m := unmounted(t)
	_, ended := foreground(t, m)
	worker := m.Status().WorkerPID
	if out, err := m.Run("upgrade", "--program", brokenProgram(t)); err == nil {
		t.Errorf("secretfs upgrade: %s", out)
	}
	cover(t, m)
	kill(t, worker, syscall.SIGKILL)
	select {
	case <-ended:
	case <-time.After(20 * time.Second):
		t.Fatal("the holder goes on")
	}
	if n := mountsOn(t, m.Dir); n != 1 {
		t.Errorf("%d mounts are there, want the one on top", n)
	}
	if b, err := os.ReadFile(m.Dir + "/x"); string(b) != "on top" {
		t.Errorf("what is on top: %q, %v", b, err)
	}
}

// TestUmountWhileAReaderWaits: whoever waits in open(2) keeps the mount busy and
// has nothing of it open.
func TestUmountWhileAReaderWaits(t *testing.T) {
	harness.Matrix(t, func(t *testing.T) {
		m := stuck(t, "60s")
		w := wait(t, m.Path("slow"))
		start := time.Now()
		out, err := m.Run("umount")
		if err == nil || !strings.Contains(out, "a reader that waits for a secret") || time.Since(start) > 5*time.Second {
			t.Errorf("after %s: %v\n%s", time.Since(start), err, out)
		}
		w.waits(t, "after the refusal")
		if got := m.Read("good"); got != "fine" {
			t.Errorf("got %q", got)
		}
		m.Must("umount", "--lazy")
		if err := w.end(t, 10*time.Second); err == nil {
			t.Errorf("the reader has read %q", w.out.String())
		}
	})
}
