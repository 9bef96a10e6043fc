package survive

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/secretfs/secretfs/tests/harness"
)

// killHolder kills the holder alone and returns once the worker knows.
func killHolder(t *testing.T, m *harness.Mount) harness.Status {
	t.Helper()
	before := m.Status()
	kill(t, before.HolderPID, syscall.SIGKILL)
	harness.Eventually(t, "status says that the holder has died", func() bool {
		return strings.Contains(strings.Join(m.Status().Notices, "\n"), "the holder has died")
	})
	return before
}

func TestReadersGoOnWithoutHolder(t *testing.T) {
	m := harness.New(t, harness.Options{Plain: "a: one\nb: two\n"})
	if got := m.Read("a"); got != "one" {
		t.Fatalf("got %q", got)
	}
	old := open(t, m.Path("a"))
	before := killHolder(t, m)
	if got := m.Read("a"); got != "one" {
		t.Errorf("what was read before reads as %q", got)
	}
	if got := m.Read("b"); got != "two" {
		t.Errorf("what was never read before reads as %q", got)
	}
	m.Rotate("a: three\nb: four\n", "a", "three")
	if got := m.Read("b"); got != "four" {
		t.Errorf("after a rotation b reads as %q", got)
	}
	if got := rest(t, old); got != "one" {
		t.Errorf("a file opened before reads as %q", got)
	}
	if now := m.Status(); now.WorkerPID != before.WorkerPID {
		t.Errorf("the worker was %d and is %d", before.WorkerPID, now.WorkerPID)
	}
	m.VerifyAudit()
}

// TestNextHolderTakesOver kills the holder under readers and starts another.
func TestNextHolderTakesOver(t *testing.T) {
	m := harness.New(t, harness.Options{Plain: plain(0)})
	dir, file := m.Root+"/dir", m.Root+"/file"
	bind(t, m.Dir, dir, true)
	bind(t, m.Path("s0"), file, false)
	readers := []*reader{
		startReader(t, m.Path("s0"), m.Path("s1"), m.Path("s2")),
		startReader(t, dir+"/s0", dir+"/s3"), startReader(t, file),
	}
	old := open(t, m.Path("s1"))
	before := killHolder(t, m)
	// A handle that the worker without a holder made has to go on too.
	m.Rotate(plain(1), "s1", value(1))
	orphaned := open(t, m.Path("s1"))
	m.Mount()
	after := m.Status()
	if after.HolderPID == before.HolderPID || after.WorkerPID == before.WorkerPID {
		t.Errorf("holder and worker were %d and %d, are %d and %d", before.HolderPID, before.WorkerPID, after.HolderPID, after.WorkerPID)
	}
	if notices := strings.Join(after.Notices, "\n"); strings.Contains(notices, "died") {
		t.Errorf("status still says: %s", notices)
	}
	m.KillWorker()
	m.Rotate(plain(2), "s1", value(2))
	for _, r := range readers {
		n := r.stop(t)
		if len(n.Failed)+len(n.Torn) > 0 {
			t.Errorf("failed %q, torn %q", n.Failed, n.Torn)
		}
	}
	if got := rest(t, old); got != value(0) {
		t.Errorf("a file opened before: %d bytes", len(got))
	}
	if got := rest(t, orphaned); got != value(1) {
		t.Errorf("a file opened in between: %d bytes, %.20q", len(got), got)
	}
	for _, path := range []string{dir + "/s0", file} {
		harness.Eventually(t, path+" has the last version", func() bool {
			b, err := os.ReadFile(path)
			return err == nil && string(b) == value(2)
		})
	}
	m.VerifyAudit()
	if workers := m.Workers(); len(workers) != 1 {
		t.Errorf("workers left: %v", workers)
	}
}

func TestUnmountWithoutHolder(t *testing.T) {
	m := harness.New(t, harness.Options{Plain: "a: one\n"})
	before := killHolder(t, m)
	if out, err := m.Run("umount"); err != nil {
		t.Fatalf("secretfs umount: %v\n%s", err, out)
	}
	gone(t, m, before.WorkerPID)
	if _, err := os.Stat(m.Control); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the control socket is left: %v", err)
	}
}

// TestUnmountByHandWithoutHolder: nobody is left who may take away a system
// mount's control socket. Commands must not take it for a mount, nor the next one
// be kept out.
func TestUnmountByHandWithoutHolder(t *testing.T) {
	m := harness.New(t, harness.Options{Plain: "a: one\n"})
	before := killHolder(t, m)
	if out, err := exec.Command("umount", m.Dir).CombinedOutput(); err != nil {
		t.Fatalf("umount: %v\n%s", err, out)
	}
	gone(t, m, before.WorkerPID)
	for _, command := range []string{"status", "umount", "reload", "upgrade"} {
		out, err := m.Run(command)
		var exit *exec.ExitError
		want := "secretfs: no secretfs is running here: nobody serves " + m.Control + "\n"
		if !errors.As(err, &exit) || exit.ExitCode() != 4 || !strings.HasPrefix(out, want) {
			t.Errorf("secretfs %s: %v, want exit code 4 and %q:\n%s", command, err, want, out)
		}
	}
	m.Mount()
	if got := m.Read("a"); got != "one" {
		t.Errorf("mounted again: %q", got)
	}
}

func TestDeadMountIsRecovered(t *testing.T) {
	m := harness.New(t, harness.Options{Plain: "a: one\n"})
	s := m.Status()
	kill(t, s.HolderPID, syscall.SIGSTOP) // so that it starts no other worker
	kill(t, s.WorkerPID, syscall.SIGKILL)
	kill(t, s.HolderPID, syscall.SIGKILL)
	harness.Eventually(t, "the mount is dead", func() bool {
		_, err := os.Stat(m.Path("a"))
		return errors.Is(err, syscall.ENOTCONN)
	})
	m.Mount()
	if got := m.Read("a"); got != "one" {
		t.Errorf("got %q", got)
	}
	if n := mountsOn(t, m.Dir); n != 1 {
		t.Errorf("%d mounts lie on the path", n)
	}
}

func TestSecondDaemonIsRefused(t *testing.T) {
	m := harness.New(t, harness.Options{Plain: "a: one\n"})
	before := m.Status()
	out, err := m.TryMount()
	var ended *exec.ExitError
	if !errors.As(err, &ended) || ended.ExitCode() != 1 {
		t.Errorf("a second daemon: %v, want exit code 1", err)
	}
	want := "mounting " + m.Dir + ": another secretfs serves it; end that one first (secretfs umount --policy FILE)"
	if !strings.Contains(out, want) {
		t.Errorf("it said:\n%s\nwant %q", out, want)
	}
	if now := m.Status(); now.HolderPID != before.HolderPID || now.WorkerPID != before.WorkerPID {
		t.Errorf("the first one was %d and %d, is %d and %d", before.HolderPID, before.WorkerPID, now.HolderPID, now.WorkerPID)
	}
	if got := m.Read("a"); got != "one" {
		t.Errorf("got %q", got)
	}
}

// TestStoppedFirstDaemon has the first daemon stopped as a whole: the second
// must not wait for it.
func TestStoppedFirstDaemon(t *testing.T) {
	m := harness.New(t, harness.Options{Plain: "a: one\n"})
	s := m.Status()
	kill(t, s.HolderPID, syscall.SIGSTOP)
	kill(t, s.WorkerPID, syscall.SIGSTOP)
	defer syscall.Kill(s.HolderPID, syscall.SIGCONT)
	start := time.Now()
	out, err := m.TryMount()
	if err == nil || !strings.Contains(out, "another secretfs holds it and does not answer") {
		t.Errorf("a second daemon: %v\n%s", err, out)
	}
	if took := time.Since(start); took > 20*time.Second {
		t.Errorf("it took %s", took)
	}
	kill(t, s.HolderPID, syscall.SIGCONT)
	harness.Eventually(t, "the first one serves again", func() bool {
		out, err := exec.Command("timeout", "1", "cat", m.Path("a")).Output()
		return err == nil && bytes.Equal(out, []byte("one"))
	})
}
