package kernel

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/secretfs/secretfs/tests/harness"
)

// TestRequests counts what a warm `cat` asks of the worker, by the tracepoint
// fuse:fuse_request_send. Whoever counts has to be root.
func TestRequests(t *testing.T) {
	if os.Geteuid() != 0 {
		holdMount(t)
		return
	}
	tr := newTrace(t)
	m := harness.New(t, harness.Options{Plain: "a: some value\n"})
	t.Run("passthrough", func(t *testing.T) {
		tr.expect(t, m.Path("a"), syscall.Credential{}, "FUSE_OPEN", "FUSE_RELEASE")
	})
	t.Run("direct", func(t *testing.T) { tr.direct(t) })
	path := heldByUser(t)
	t.Run("user", func(t *testing.T) {
		u := harness.OrdinaryUser(t)
		tr.expect(t, path, syscall.Credential{Uid: u.UID, Gid: u.GID}, "FUSE_OPEN", "FUSE_READ", "FUSE_READ", "FUSE_GETATTR", "FUSE_RELEASE")
	})
}

// direct counts on a system mount whose holder is dead: nobody registers backing
// files any more, so that what has not been read before is served by direct I/O,
// as it is on kernels without passthrough.
func (tr *trace) direct(t *testing.T) {
	m := harness.New(t, harness.Options{Plain: "a: some value\n"})
	if err := syscall.Kill(m.Status().HolderPID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	harness.Eventually(t, "status says that the holder has died", func() bool {
		return strings.Contains(strings.Join(m.Status().Notices, "\n"), "the holder has died")
	})
	tr.expect(t, m.Path("a"), syscall.Credential{}, "FUSE_OPEN", "FUSE_READ", "FUSE_READ", "FUSE_RELEASE")
}

// expect counts a third `cat`.
func (tr *trace) expect(t *testing.T, path string, who syscall.Credential, want ...string) {
	t.Helper()
	var sent []string
	for range 3 {
		cmd := exec.Command("cat", path)
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &who}
		sent = tr.requests(t, deviceOf(t, filepath.Dir(path)), cmd)
	}
	slices.Sort(sent)
	slices.Sort(want)
	if !slices.Equal(sent, want) {
		t.Errorf("a warm cat sends %v, want %v", sent, want)
	}
}

// deviceOf is the device of a mount, which names its connection, asked of
// nobody but the kernel.
func deviceOf(t *testing.T, dir string) string {
	t.Helper()
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(mounts)) {
		if f := strings.Fields(line); f[4] == dir {
			return strings.TrimPrefix(f[2], "0:")
		}
	}
	t.Fatalf("nothing is mounted on %s", dir)
	return ""
}

// A trace is tracefs, with the tracepoint switched on.
type trace struct{ dir string }

func newTrace(t *testing.T) *trace {
	t.Helper()
	tr := &trace{dir: "/sys/kernel/tracing"}
	event := tr.dir + "/events/fuse/fuse_request_send/enable"
	if _, err := os.Stat(event); err != nil {
		if err := unix.Mount("tracefs", tr.dir, "tracefs", 0, ""); err != nil {
			t.Skipf("SKIPPED: no tracefs: %v", err)
		}
		t.Cleanup(func() { _ = unix.Unmount(tr.dir, unix.MNT_DETACH) })
	}
	instance := tr.dir + "/instances/secretfs-" + itoa(os.Getpid())
	if err := os.Mkdir(instance, 0o700); err != nil {
		t.Skipf("SKIPPED: no tracing instance: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Rmdir(instance); err != nil {
			t.Error(err)
		}
	})
	tr.dir = instance
	on := tr.dir + "/events/fuse/fuse_request_send/enable"
	if err := os.WriteFile(on, []byte("1"), 0); errors.Is(err, os.ErrNotExist) {
		t.Skip("SKIPPED: this kernel has no tracepoint fuse:fuse_request_send")
	} else if err != nil {
		t.Fatal(err)
	}
	return tr
}

var traced = regexp.MustCompile(`fuse_request_send: connection (\d+) .* \((FUSE_[A-Z]+)\)`)

// requests runs cmd and tells what was sent meanwhile on one connection, with
// the RELEASE that comes after close(2).
func (tr *trace) requests(t *testing.T, connection string, cmd *exec.Cmd) (sent []string) {
	t.Helper()
	log := filepath.Join(tr.dir, "trace")
	if err := os.WriteFile(log, nil, 0); err != nil {
		t.Fatal(err)
	}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	harness.Eventually(t, "RELEASE is sent", func() bool {
		b, err := os.ReadFile(log)
		if err != nil {
			t.Fatal(err)
		}
		sent = nil
		for _, m := range traced.FindAllStringSubmatch(string(b), -1) {
			// The holder asks for STATFS by itself once a second.
			if m[1] == connection && m[2] != "FUSE_STATFS" {
				sent = append(sent, m[2])
			}
		}
		return slices.Contains(sent, "FUSE_RELEASE")
	})
	return sent
}
