package guest

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/secretfs/secretfs/tests/harness"
)

// opened opens a secret and reads its beginning.
func opened(t *testing.T, path string) *os.File {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	if _, err := io.ReadFull(f, make([]byte, 4)); err != nil {
		t.Fatal(err)
	}
	return f
}

// reads reads on to the end.
func reads(t *testing.T, f *os.File, want string) {
	t.Helper()
	if b, err := io.ReadAll(f); err != nil || string(b) != want {
		t.Errorf("reading on: %d bytes %.20q, %v, want %d", len(b), b, err, len(want))
	}
}

// TestKilled: the mount, open files and bind mounts outlive workers.
func TestKilled(t *testing.T) {
	m := system(t)
	bound := filepath.Join(m.Root, "bound")
	if err := os.WriteFile(bound, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount(m.Path("a"), bound, "", unix.MS_BIND, ""); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unix.Unmount(bound, unix.MNT_DETACH) }()
	before := []*os.File{opened(t, m.Path("long")), opened(t, m.Path("long"))}
	for i := range 3 {
		m.KillWorker()
		if got := m.Read("a"); got != "some value" {
			t.Errorf("after kill %d: %q", i, got)
		}
		if b, err := os.ReadFile(bound); string(b) != "some value" {
			t.Errorf("the bind mount after kill %d: %q, %v", i, b, err)
		}
		if i < 2 {
			reads(t, before[i], long[4:])
			before[i].Close()
		}
	}
	m.VerifyAudit()
}

// TestRotates: the next open has the new value, an open file what it had, and
// watchers are told; a kill in between changes nothing.
func TestRotates(t *testing.T) {
	harness.NeedRoot(t)
	m := harness.New(t, harness.Options{Plain: "a: in version 0\n"})
	m.Read("a")
	w := watch(t, m.Path("a"), m.Dir)
	for v := 1; v <= 3; v++ {
		old := opened(t, m.Path("a"))
		w.clear(t)
		m.Rotate(fmt.Sprintf("a: in version %d\n", v), "a", fmt.Sprintf("in version %d", v))
		w.told(t, m.Path("a"), m.Dir)
		if v == 2 {
			m.KillWorker()
		}
		reads(t, old, fmt.Sprintf("in version %d", v-1)[4:])
		old.Close()
	}
	m.VerifyAudit()
}

// TestInFlight: a request that a worker had taken when it was killed gets an
// answer. The kernel sends it again, or open(2) is made to ask anew.
func TestInFlight(t *testing.T) {
	harness.NeedRoot(t)
	m := harness.New(t, harness.Options{
		Plain: "a: some value\n", NoMount: true,
		Head: "backends:\n  main: {type: sops, file: secrets.yaml, age: {key_files: [keys.txt]}}\n" +
			"  stuck: {type: sops, file: fifo.yaml, timeout: 5s, age: {key_files: [keys.txt]}}\n",
		Policy: "secrets:\n  good: {backend: main, key: a}\n  stuck: {backend: stuck, key: a}\n",
	})
	if err := unix.Mkfifo(m.Root+"/fifo.yaml", 0o600); err != nil {
		t.Fatal(err)
	}
	m.Mount()
	ended := make(chan string, 1)
	reader := exec.Command("cat", m.Path("stuck"))
	var out strings.Builder
	reader.Stdout, reader.Stderr = &out, &out
	if err := reader.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		_ = reader.Wait()
		ended <- out.String()
	}()
	harness.Eventually(t, "the reader waits in open(2)", func() bool {
		b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/syscall", reader.Process.Pid))
		return strings.HasPrefix(string(b), fmt.Sprintf("%d ", unix.SYS_OPENAT))
	})
	time.Sleep(time.Second) // the worker has taken it, for all that can be known
	m.KillWorker()
	if got := m.Read("good"); got != "some value" {
		t.Errorf("got %q", got)
	}
	const answer = "Connection timed out"
	select {
	case got := <-ended:
		if !strings.Contains(got, answer) {
			t.Errorf("the reader got %q, want %q", got, answer)
		}
	case <-time.After(time.Minute):
		t.Error("the reader still waits")
	}
}

// TestUser: the mount of an ordinary user. What is open when a worker dies is
// read on from memfd_secret(2), or is lost; it is never something else.
func TestUser(t *testing.T) { harness.AsUser(t, userMount) }

func userMount(t *testing.T) {
	k := running(t)
	m := harness.New(t, harness.Options{Plain: fmt.Sprintf("a: some value\nlong: %s\n", long)})
	before := opened(t, m.Path("long"))
	for range 2 {
		m.KillWorker()
		if got := m.Read("a"); got != "some value" {
			t.Errorf("got %q", got)
		}
		if got := m.Read("long"); got != long {
			t.Errorf("got %d bytes", len(got))
		}
	}
	if k.memfdSecret {
		reads(t, before, long[4:])
		return
	}
	if b, err := io.ReadAll(before); !errors.Is(err, unix.EIO) || len(b) > 0 {
		t.Errorf("reading on: %.20q, %v, want EIO", b, err)
	}
	if out := m.Must("status"); !strings.Contains(out, "no memfd_secret") {
		t.Errorf("status does not say that open files are lost:\n%s", out)
	}
}
