package survive

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/secretfs/secretfs/tests/harness"
)

// hungMount is a filesystem that answers nothing, until end.
func hungMount(t *testing.T) (dir string, end func()) {
	t.Helper()
	dir = t.TempDir()
	fd, err := unix.Open("/dev/fuse", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err == nil {
		err = unix.Mount("hung", dir, "fuse", unix.MS_NODEV|unix.MS_NOSUID, fmt.Sprintf("fd=%d,rootmode=40000,user_id=0,group_id=0,allow_other", fd))
	}
	if err != nil {
		t.Fatal(err)
	}
	end = func() {
		if fd >= 0 {
			unix.Close(fd) // the kernel fails whatever waits
			fd = -1
		}
	}
	t.Cleanup(func() {
		end()
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir, end
}

// TestHungDirectory: directories whose filesystem does not answer delay nobody beyond
// the deadline, and no other backend at all.
func TestHungDirectory(t *testing.T) {
	harness.NeedRoot(t)
	dir, end := hungMount(t)
	m := harness.New(t, harness.Options{
		Plain: "x: y\n", Policy: "secrets:\n  plain: {backend: plain}\n  sealed: {backend: creds}\n  good: {backend: good, key: x}\n" +
			"directories:\n  all: {backend: plain}\n",
		Head: "backends:\n  plain: {type: dir, path: " + dir + "/files, timeout: 500ms}\n  creds: {type: systemd-creds, path: " + dir + ", timeout: 500ms}\n" +
			"  good: {type: sops, file: secrets.yaml, age: {key_files: [keys.txt]}}\n",
	})
	begun := time.Now()
	waits := []*waiter{startRead(t, m.Path("plain")), startRead(t, m.Path("sealed"))}
	if _, err := os.ReadDir(m.Path("all")); err == nil {
		t.Error("a directory that does not answer is listed")
	}
	for range 20 {
		before := time.Now()
		if got := m.Read("good"); got != "y" {
			t.Errorf("got %q", got)
		}
		if took := time.Since(before); took > 2*time.Second {
			t.Errorf("another backend's secret took %v", took)
		}
	}
	for _, w := range waits {
		if err := w.end(t, 20*time.Second); err == nil || !strings.Contains(w.out.String(), "Connection timed out") {
			t.Errorf("got %v, %s", err, w.out.String())
		}
	}
	if took := time.Since(begun); took > 15*time.Second {
		t.Errorf("all of it took %v", took)
	}
	if why, _ := errorOf(t, m, "plain"); !strings.Contains(why, "too slow") {
		t.Errorf("why: %q", why)
	}
	end()
	harness.Eventually(t, "it is told that the directory is gone", func() bool {
		_, err := os.ReadFile(m.Path("plain"))
		return errors.Is(err, unix.EHOSTUNREACH)
	})
}
