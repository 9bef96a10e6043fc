package survive

import (
	"io"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/secretfs/secretfs/tests/harness"
)

// bind makes a bind mount that ends with the test.
func bind(t *testing.T, from, to string, dir bool) {
	t.Helper()
	var err error
	if dir {
		err = os.Mkdir(to, 0o755)
	} else {
		err = os.WriteFile(to, nil, 0o600)
	}
	if err == nil {
		err = syscall.Mount(from, to, "", syscall.MS_BIND, "")
	}
	if err != nil {
		t.Fatalf("bind mount of %s: %v", from, err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(to, syscall.MNT_DETACH); err != nil && mountsOn(t, to) > 0 {
			t.Errorf("unmounting %s: %v", to, err)
		}
	})
}

func open(t *testing.T, path string) *os.File {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

func rest(t *testing.T, f *os.File) string {
	t.Helper()
	b, err := io.ReadAll(f)
	if err != nil {
		t.Errorf("reading on from %s: %v", f.Name(), err)
	}
	return string(b)
}

func kill(t *testing.T, pid int, s syscall.Signal) {
	t.Helper()
	if err := syscall.Kill(pid, s); err != nil {
		t.Fatalf("sending %s to %d: %v", s, pid, err)
	}
}

// gone waits until nothing of the mount is left: neither processes nor the
// mount itself.
func gone(t *testing.T, m *harness.Mount, pids ...int) {
	t.Helper()
	ends(t, m, pids...)
	if n := mountsOn(t, m.Dir); n != 0 {
		t.Errorf("%d mounts are left on %s", n, m.Dir)
	}
}

func ends(t *testing.T, m *harness.Mount, pids ...int) {
	t.Helper()
	harness.Eventually(t, "the processes end by themselves", func() bool {
		for _, pid := range pids {
			if syscall.Kill(pid, 0) == nil {
				return false
			}
		}
		return len(m.Workers()) == 0
	})
}

func mountsOn(t *testing.T, dir string) (n int) {
	t.Helper()
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(mounts)) {
		if strings.Contains(line, " "+dir+" ") {
			n++
		}
	}
	return n
}

func deviceOf(info os.FileInfo) uint64 { return info.Sys().(*syscall.Stat_t).Dev }
