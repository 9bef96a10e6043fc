package survive

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/secretfs/secretfs/tests/harness"
)

// TestMountedAbove hides the way to the mount: something else is mounted on a
// directory above it. It goes on, and is taken away all the same.
func TestMountedAbove(t *testing.T) {
	for _, c := range []struct {
		name string
		stop func(t *testing.T, m *harness.Mount, holder int)
	}{
		{"SIGTERM", func(t *testing.T, _ *harness.Mount, holder int) { kill(t, holder, syscall.SIGTERM) }},
		{"umount", func(_ *testing.T, m *harness.Mount, _ int) { m.Must("umount") }},
		{"umount --lazy", func(_ *testing.T, m *harness.Mount, _ int) { m.Must("umount", "--lazy") }},
		{"upgrade and SIGTERM", func(t *testing.T, m *harness.Mount, holder int) {
			m.Must("upgrade")
			kill(t, holder, syscall.SIGTERM)
		}},
	} {
		for _, depth := range []int{1, 2} {
			t.Run(fmt.Sprintf("%s, %d above", c.name, depth), func(t *testing.T) {
				m := below(t)
				holder, ended := foreground(t, m)
				worker := m.Status().WorkerPID
				uncover := coverAbove(t, m, depth)
				c.stop(t, m, holder.Process.Pid)
				stopped(t, m, worker, ended, 1) // what is mounted at the same path on the cover
				uncover()
				if n := mountsOn(t, m.Dir); n != 0 {
					t.Errorf("%d mounts are left", n)
				}
				if names, err := os.ReadDir(m.Dir); err != nil || len(names) > 0 {
					t.Errorf("below: %v, %v", names, err)
				}
			})
		}
	}
}

// TestStopWhileBusyAbove detaches what is in use, too.
func TestStopWhileBusyAbove(t *testing.T) {
	m := below(t)
	holder, ended := foreground(t, m)
	worker := m.Status().WorkerPID
	f := open(t, m.Path("a"))
	uncover := coverAbove(t, m, 1)
	kill(t, holder.Process.Pid, syscall.SIGTERM)
	stopped(t, m, worker, ended, 1)
	if got := rest(t, f); got != "one" {
		t.Errorf("the open file: %q", got)
	}
	uncover()
	if n := mountsOn(t, m.Dir); n != 0 {
		t.Errorf("%d mounts are left", n)
	}
}

// TestCrashLoopAbove must leave no dead mount behind a cover either.
func TestCrashLoopAbove(t *testing.T) {
	m := below(t)
	_, ended := foreground(t, m)
	worker := m.Status().WorkerPID
	if out, err := m.Run("upgrade", "--program", brokenProgram(t)); err == nil {
		t.Errorf("secretfs upgrade: %s", out)
	}
	uncover := coverAbove(t, m, 1)
	kill(t, worker, syscall.SIGKILL)
	select {
	case <-ended:
	case <-time.After(20 * time.Second):
		t.Fatal("the holder goes on")
	}
	uncover()
	if n := mountsOn(t, m.Dir); n != 0 {
		t.Errorf("%d mounts are left", n)
	}
}

// below is a mount with two directories above it that are its own.
func below(t *testing.T) *harness.Mount {
	t.Helper()
	m := unmounted(t)
	m.Dir = m.Root + "/above/it/mnt"
	m.WritePolicy(harness.Options{})
	return m
}

// coverAbove mounts a tmpfs some directories above m, and another one in it, at
// the very path of m.
func coverAbove(t *testing.T, m *harness.Mount, depth int) (uncover func()) {
	t.Helper()
	above := m.Dir
	for range depth {
		above = filepath.Dir(above)
	}
	if err := unix.Mount("none", above, "tmpfs", 0, ""); err != nil {
		t.Fatal(err)
	}
	covered := true
	uncover = func() {
		if covered {
			covered = false
			if err := unix.Unmount(above, unix.MNT_DETACH); err != nil {
				t.Error(err)
			}
		}
	}
	t.Cleanup(uncover)
	if err := os.MkdirAll(m.Dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("none", m.Dir, "tmpfs", 0, ""); err != nil {
		t.Fatal(err)
	}
	return uncover
}
