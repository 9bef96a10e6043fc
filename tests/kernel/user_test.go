package kernel

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

	"golang.org/x/sys/unix"

	"github.com/secretfs/secretfs/tests/harness"
)

// TestOpaque: a user's mount is closed to all others, root included.
func TestOpaque(t *testing.T) {
	if os.Geteuid() != 0 {
		holdMount(t)
		return
	}
	path := heldByUser(t)
	if _, err := os.ReadFile(path); !errors.Is(err, unix.EACCES) {
		t.Errorf("root reads: got %v, want EACCES", err)
	}
	if _, err := os.Stat(path); !errors.Is(err, unix.EACCES) {
		t.Errorf("root looks: got %v, want EACCES", err)
	}
	other := exec.Command("cat", path)
	other.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 2, Gid: 2}}
	if out, err := other.CombinedOutput(); err == nil || !strings.Contains(string(out), "Permission denied") {
		t.Errorf("another user reads: %v: %s", err, out)
	}
}

// heldByUser has another process of an ordinary user mount, until the test
// ends, and tells where a secret is. The test calls holdMount where it is not
// root.
func heldByUser(t *testing.T) (path string) {
	t.Helper()
	cmd := harness.UserCommand(t)
	stdin, err1 := cmd.StdinPipe()
	stdout, err2 := cmd.StdoutPipe()
	if err := errors.Join(err1, err2, cmd.Start()); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(stdout)
	for path == "" && lines.Scan() {
		path, _ = strings.CutPrefix(lines.Text(), mountedAt)
		if path == lines.Text() {
			path = ""
		}
	}
	if path == "" {
		t.Fatalf("the user's process mounts nothing: %v", cmd.Wait())
	}
	t.Cleanup(func() {
		stdin.Close()
		rest, _ := io.ReadAll(stdout)
		if err := cmd.Wait(); err != nil {
			t.Errorf("the user's process: %v\n%s", err, rest)
		}
	})
	return path
}

const mountedAt = "mounted: "

// holdMount is the user's part: it mounts until stdin ends.
func holdMount(t *testing.T) {
	m := harness.New(t, harness.Options{Plain: "a: mine\n"})
	// Others come as far as the mount itself.
	for dir := m.Root; strings.HasPrefix(dir, os.Getenv("HOME")); dir = dir[:strings.LastIndexByte(dir, '/')] {
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if m.Read("a") != "mine" {
		t.Error("the user itself cannot read")
	}
	fmt.Println(mountedAt + m.Path("a"))
	_, _ = io.Copy(io.Discard, os.Stdin)
}

// TestUserDefaults: where the policy says nothing, mount, control socket and
// audit log are the user's own, and so are the secrets.
func TestUserDefaults(t *testing.T) {
	harness.AsUser(t, func(t *testing.T) {
		runtime := os.Getenv("XDG_RUNTIME_DIR")
		state := t.TempDir()
		t.Setenv("XDG_STATE_HOME", state)
		m := harness.New(t, harness.Options{Plain: "a: mine\n", NoMount: true})
		put(t, m.Policy, fmt.Sprintf(`{"backends": {"main": {"type": "sops", "file": %q, "age": {"key_files": [%q]}}}, "secrets": {"a": {"backend": "main"}}}`, m.Secrets, m.Keys))
		m.Dir, m.Control = runtime+"/secrets", runtime+"/secretfs/control.sock"
		m.Mount()
		if got := m.Read("a"); got != "mine" {
			t.Errorf("got %q", got)
		}
		var st unix.Stat_t
		if err := unix.Stat(m.Path("a"), &st); err != nil || int(st.Uid) != os.Getuid() || st.Mode != unix.S_IFREG|0o400 {
			t.Errorf("stat: %v, owner %d, mode %o", err, st.Uid, st.Mode)
		}
		if line := mountLine(m.Dir); !strings.Contains(line, fmt.Sprintf("user_id=%d", os.Getuid())) || strings.Contains(line, "allow_other") ||
			!strings.Contains(line, "nosuid,nodev") {
			t.Errorf("mounted as %q", line)
		}
		if err := unix.Stat(m.Control, &st); err != nil || st.Mode&unix.S_IFMT != unix.S_IFSOCK || st.Mode&0o077 != 0 {
			t.Errorf("control socket: %v, mode %o", err, st.Mode)
		}
		if err := unix.Stat(state+"/secretfs/audit.jsonl", &st); err != nil || st.Size == 0 || st.Mode&0o077 != 0 {
			t.Errorf("audit log: %v, %d bytes, mode %o", err, st.Size, st.Mode)
		}
		if s := m.Status(); s.HolderPID == 0 || s.WorkerPID == 0 {
			t.Errorf("status: %+v", s)
		}
		f, err := os.Open(m.Path("a"))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		m.KillWorker()
		if got, err := whole(t, f); string(got) != "mine" || err != nil {
			t.Errorf("an open file after a kill: got %q, %v", got, err)
		}
		if m.Read("a") != "mine" {
			t.Error("a new read after a kill")
		}
	})
}
