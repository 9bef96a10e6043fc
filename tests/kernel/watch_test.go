package kernel

import (
	"bufio"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/secretfs/secretfs/tests/harness"
)

// A watcher is inotifywait -m -e attrib on some paths.
type watcher struct {
	mu   sync.Mutex
	seen map[string]int // path -> events, where a file in a directory is DIR/FILE
}

func watch(t *testing.T, paths ...string) *watcher {
	t.Helper()
	need(t, "inotifywait")
	cmd := exec.Command("inotifywait", append([]string{"-m", "-e", "attrib", "--format", "%w|%f"}, paths...)...)
	out, err1 := cmd.StdoutPipe()
	problems, err2 := cmd.StderrPipe()
	if err1 != nil || err2 != nil {
		t.Fatal(err1, err2)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	w := &watcher{seen: make(map[string]int)}
	var reading sync.WaitGroup
	reading.Go(func() {
		for lines := bufio.NewScanner(out); lines.Scan(); {
			w.mu.Lock()
			w.seen[strings.TrimSuffix(lines.Text(), "|")]++
			w.mu.Unlock()
		}
	})
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		reading.Wait()
		_ = cmd.Wait()
	})
	for lines := bufio.NewScanner(problems); lines.Scan(); {
		if strings.Contains(lines.Text(), "established") {
			return w
		}
	}
	t.Fatal("inotifywait has ended")
	return nil
}

func (w *watcher) count(what string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.seen[what]
}

// next waits until each of what has been seen once more, after act.
func (w *watcher) next(t *testing.T, act func(), what ...string) {
	t.Helper()
	before := make(map[string]int)
	for _, x := range what {
		before[x] = w.count(x)
	}
	act()
	for _, x := range what {
		harness.Eventually(t, "IN_ATTRIB on "+x, func() bool { return w.count(x) > before[x] })
	}
}

// TestWatch: watchers of a file and of its directory see every rotation, on
// whatever node of the path they sit.
func TestWatch(t *testing.T) {
	harness.NeedRoot(t)
	value := func(v int) string { return "in version " + itoa(v) }
	m := harness.New(t, harness.Options{Plain: `{"d": {"a": "in version 0", "b": "same"}}`})
	dir, file := m.Path("d"), m.Path("d/a")
	m.Read("d/a")
	m.Read("d/b")
	staysReadOnly(t, m)
	w := watch(t, file, dir, m.Path("d/b"))
	var late *watcher
	version := 0
	rotate := func() {
		version++
		sopsSet(t, m, `["d"]["a"]`, value(version))
		harness.Eventually(t, value(version), func() bool { return m.Read("d/a") == value(version) })
	}
	what := []string{file, dir + "/|a"}
	for range 3 {
		w.next(t, rotate, what...)
	}
	for range 3 {
		m.KillWorker()
		w.next(t, rotate, what...)
	}
	for range 3 {
		f, err := os.Open(file)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		w.next(t, rotate, what...)
		if late != nil {
			late.next(t, rotate, file)
		}
		m.Read("d/a")
		late = watch(t, file) // sits on the node of the new version
		m.KillWorker()
		late.next(t, rotate, file)
		w.next(t, rotate, what...)
	}
	if n := w.count(m.Path("d/b")); n > 0 {
		t.Errorf("a watcher of a file that does not change has seen %d events", n)
	}
}

// TestWatchBusy: a watcher misses no rotation while a handle is open and others
// open the file all the time.
func TestWatchBusy(t *testing.T) {
	harness.NeedRoot(t)
	m := harness.New(t, harness.Options{Plain: "a: in version 0\n"})
	f, err := os.Open(m.Path("a"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	w := watch(t, m.Path("a"))
	var stop atomic.Bool
	var readers sync.WaitGroup
	defer func() {
		stop.Store(true)
		readers.Wait()
		if t.Failed() {
			t.Log(m.Log())
		}
	}()
	for range 3 {
		readers.Go(func() {
			for !stop.Load() {
				if _, err := os.ReadFile(m.Path("a")); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for v := 1; v <= 5; v++ {
		value := "in version " + itoa(v)
		w.next(t, func() {
			m.Rotate("a: "+value+"\n", "a", value)
			for range 300 {
				if got := m.Read("a"); got != value {
					t.Errorf("got %q after %q", got, value)
				}
			}
		}, m.Path("a"))
	}
}

// sopsSet has sops edit one value, which leaves the others as they are.
func sopsSet(t *testing.T, m *harness.Mount, key, value string) {
	t.Helper()
	cmd := exec.Command(harness.Sops(t), "--disable-version-check", "set", m.Secrets, key, toJSON(t, value))
	cmd.Env = append(os.Environ(), "SOPS_AGE_KEY_FILE="+m.Keys)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("sops set: %v\n%s", err, out)
	}
}

// TestWatchKeys: watchers of a directory see that keys come and go.
func TestWatchKeys(t *testing.T) {
	harness.NeedRoot(t)
	m := harness.New(t, harness.Options{Plain: "a: one\n"})
	m.Read("a")
	w := watch(t, m.Dir)
	w.next(t, func() { m.Encrypt("a: one\nb: two\n") }, m.Dir+"/")
	w.next(t, func() { m.Encrypt("b: two\n") }, m.Dir+"/")
}

// staysReadOnly tries to write until the test ends.
func staysReadOnly(t *testing.T, m *harness.Mount) {
	t.Helper()
	done := make(chan struct{})
	var trying sync.WaitGroup
	trying.Go(func() {
		for {
			select {
			case <-done:
				return
			case <-time.After(200 * time.Microsecond):
			}
			fd, err := unix.Open(m.Path("d/a"), unix.O_WRONLY|unix.O_CLOEXEC, 0)
			if err != unix.EROFS {
				t.Errorf("open for writing: %d, %v", fd, err)
			}
			if err := unix.Utimes(m.Path("d/a"), nil); err != unix.EROFS {
				t.Errorf("utimes: %v", err)
			}
			if line := mountLine(m.Dir); !strings.Contains(line, " ro,") {
				t.Errorf("the mount is shown as %q", line)
			}
		}
	})
	t.Cleanup(func() {
		close(done)
		trying.Wait()
	})
}

func mountLine(dir string) string {
	mounts, _ := os.ReadFile("/proc/self/mounts")
	for line := range strings.Lines(string(mounts)) {
		if strings.Contains(line, " "+dir+" ") {
			return line
		}
	}
	return ""
}
