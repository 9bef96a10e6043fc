package survive

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/secretfs/secretfs/tests/harness"
)

const userPath = "/usr/local/bin:/usr/bin:/bin"

// userMount is a mount of an ordinary user, through fusermount3.
func userMount(t *testing.T, plain string) *harness.Mount {
	t.Helper()
	m := harness.New(t, harness.Options{Plain: plain, NoMount: true, Wrap: asNobody(userPath)})
	belongs(t, m)
	m.Mount()
	return m
}

func readAs(t *testing.T, path string) string {
	t.Helper()
	argv := append(asNobody(userPath), "timeout", "20", "cat", path)
	out, err := exec.Command(argv[0], argv[1:]...).CombinedOutput()
	if err != nil {
		t.Errorf("%q: %v\n%s", argv, err, out)
	}
	return string(out)
}

// A held is a file that an ordinary user's process has open.
type held struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Reader
}

func hold(t *testing.T, path string) *held {
	t.Helper()
	argv := append(asNobody(userPath), "sh", "-c", `exec 3<"$0"; echo open; read -r _; cat <&3 2>&1`, path)
	h := &held{cmd: exec.Command(argv[0], argv[1:]...)}
	var err error
	if h.in, err = h.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := h.cmd.StdoutPipe()
	if err == nil {
		err = h.cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = h.cmd.Process.Kill() })
	h.out = bufio.NewReader(out)
	if line, err := h.out.ReadString('\n'); line != "open\n" {
		t.Fatalf("opening %s: %q, %v", path, line, err)
	}
	return h
}

// read reads what is open, to the end.
func (h *held) read() string {
	_, _ = io.WriteString(h.in, "\n")
	b, _ := io.ReadAll(h.out)
	_ = h.cmd.Wait()
	return string(b)
}

// TestUserMountSurvives goes through a rotation and every kind of death with
// files open: without passthrough the snapshots have to be handed on.
func TestUserMountSurvives(t *testing.T) {
	m := userMount(t, "a: one\n")
	first := hold(t, m.Path("a"))
	worker := m.Status().WorkerPID
	m.KillWorker()
	if got := readAs(t, m.Path("a")); got != "one" {
		t.Errorf("after the worker's death: %q", got)
	}
	second := hold(t, m.Path("a"))
	m.Encrypt("a: two\n")
	if err := os.Chown(m.Secrets, nobody, nobody); err != nil {
		t.Fatal(err)
	}
	harness.Eventually(t, "the new value is there", func() bool { return readAs(t, m.Path("a")) == "two" })
	third := hold(t, m.Path("a"))

	before := killHolder(t, m)
	if before.WorkerPID == worker {
		t.Fatal("the worker was not replaced")
	}
	if got := readAs(t, m.Path("a")); got != "two" {
		t.Errorf("without holder: %q", got)
	}
	fourth := hold(t, m.Path("a"))
	m.Mount()
	if now := m.Status(); now.HolderPID == before.HolderPID || now.WorkerPID == before.WorkerPID {
		t.Errorf("before %+v, now %+v", before, now)
	}
	m.KillWorker()
	for i, c := range []struct {
		h    *held
		want string
	}{{first, "one"}, {second, "one"}, {third, "two"}, {fourth, "two"}} {
		if got := c.h.read(); got != c.want {
			t.Errorf("open file %d reads as %q, want %q", i, got, c.want)
		}
	}
	m.VerifyAudit()
}

func TestUserUnmountsWithoutHolder(t *testing.T) {
	m := userMount(t, "a: one\n")
	before := killHolder(t, m)
	argv := append(asNobody(userPath), harness.Program(t), "umount", "--control", m.Control)
	if out, err := exec.Command(argv[0], argv[1:]...).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	gone(t, m, before.WorkerPID)
}

func TestUserMountSecondDaemon(t *testing.T) {
	m := userMount(t, "a: one\n")
	out, err := m.TryMount()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 1 || !strings.Contains(out, "another secretfs serves it") {
		t.Errorf("%v\n%s", err, out)
	}
	if got := readAs(t, m.Path("a")); got != "one" {
		t.Errorf("got %q", got)
	}
}

func TestUserDeadMountIsRecovered(t *testing.T) {
	m := userMount(t, "a: one\n")
	s := m.Status()
	kill(t, s.HolderPID, syscall.SIGSTOP)
	kill(t, s.WorkerPID, syscall.SIGKILL)
	kill(t, s.HolderPID, syscall.SIGKILL)
	m.Mount()
	if got := readAs(t, m.Path("a")); got != "one" {
		t.Errorf("got %q", got)
	}
	if n := mountsOn(t, m.Dir); n != 1 {
		t.Errorf("%d mounts lie on the path", n)
	}
}

// TestUserUnmountsByHandWithoutHolder: a user's worker may take away the control
// socket.
func TestUserUnmountsByHandWithoutHolder(t *testing.T) {
	m := userMount(t, "a: one\n")
	before := killHolder(t, m)
	argv := append(asNobody(userPath), "fusermount3", "-u", m.Dir)
	if out, err := exec.Command(argv[0], argv[1:]...).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	gone(t, m, before.WorkerPID)
	if _, err := os.Stat(m.Control); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the control socket is left: %v", err)
	}
}

// TestUserStopWhileBusy detaches a mount that the kernel reads nothing from by
// itself: with its worker goes what is open.
func TestUserStopWhileBusy(t *testing.T) {
	m := harness.New(t, harness.Options{Plain: "a: one\n", NoMount: true, Wrap: asNobody(userPath)})
	belongs(t, m)
	holder, ended := foreground(t, m)
	s := m.Status()
	h := hold(t, m.Path("a"))
	argv := append(asNobody(userPath), harness.Program(t), "umount", "--control", m.Control)
	out, err := exec.Command(argv[0], argv[1:]...).CombinedOutput()
	who := fmt.Sprintf("sh (pid %d)", h.cmd.Process.Pid)
	if want := "unmounting " + m.Dir + ": it is in use by " + who; err == nil || !strings.Contains(string(out), want) {
		t.Errorf("secretfs umount: %v, want %q\n%s", err, want, out)
	}
	if got := readAs(t, m.Path("a")); got != "one" {
		t.Errorf("the refused umount has done something: %q", got)
	}
	kill(t, holder.Process.Pid, syscall.SIGTERM)
	stopped(t, m, s.WorkerPID, ended)
	log := m.Log()
	if !strings.Contains(log, "still in use, detaching it from the tree") || !strings.Contains(log, who) {
		t.Errorf("the log does not say that %s is busy:\n%s", who, log)
	}
	if out := h.read(); !strings.Contains(out, "Transport endpoint is not connected") && !strings.Contains(out, "Software caused connection abort") {
		t.Errorf("the open file reads as %q", out)
	}
}
