package harness

import (
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// envAsUser tells a test process that root has started it for an ordinary user.
const envAsUser = "SECRETFS_TEST_AS_USER"

// A User is an ordinary user of this machine.
type User struct {
	Name     string
	UID, GID uint32
}

// Matrix runs f on both kinds of mount: as root, and, in a process of its own,
// as an ordinary user, whose mounts go through fusermount3.
func Matrix(t *testing.T, f func(*testing.T)) {
	if os.Getenv(envAsUser) == "" {
		t.Run("system", func(t *testing.T) {
			NeedRoot(t)
			f(t)
		})
	}
	t.Run("user", func(t *testing.T) { AsUser(t, f) })
}

// NeedRoot skips what an ordinary user cannot do.
func NeedRoot(t testing.TB) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("SKIPPED: system mounts need root")
	}
}

// AsUser runs f as an ordinary user: here, if that is who we are, else in
// another process of this test program that runs only this test.
func AsUser(t *testing.T, f func(*testing.T)) {
	t.Helper()
	if os.Geteuid() != 0 {
		f(t)
		return
	}
	out, err := UserCommand(t).CombinedOutput()
	for line := range strings.Lines(string(out)) {
		if strings.Contains(line, "SKIPPED") {
			t.Log(strings.TrimSpace(line))
		}
	}
	if err != nil {
		t.Fatalf("as an ordinary user: %v\n%s", err, dull.ReplaceAll(out, nil))
	}
	if !bytes.Contains(out, []byte("--- PASS: "+t.Name())) && !bytes.Contains(out, []byte("--- SKIP: "+t.Name())) {
		t.Fatalf("as an ordinary user the test did not run:\n%s", out)
	}
}

// dull are the lines of verbose output that tell of no failure.
var dull = regexp.MustCompile(`(?m)^ *(=== RUN|--- PASS).*\n`)

// UserCommand is this test, to be run in another process by an ordinary user
// with a runtime directory and a folder for temporary files.
func UserCommand(t *testing.T) *exec.Cmd {
	t.Helper()
	u := OrdinaryUser(t)
	needFuse(t, u)
	home := ownedBy(t, u)
	var parts []string
	for _, part := range strings.Split(t.Name(), "/") {
		parts = append(parts, "^"+regexp.QuoteMeta(part)+"$")
	}
	cmd := exec.Command("/proc/self/exe", "-test.v", "-test.run="+strings.Join(parts, "/"))
	cmd.Dir = home
	cmd.Env = []string{
		envAsUser + "=1", "HOME=" + home, "TMPDIR=" + home + "/tmp", "XDG_RUNTIME_DIR=" + home + "/run",
		"USER=" + u.Name, "LOGNAME=" + u.Name,
		envProgram + "=" + public(t, Program(t)), envSops + "=" + public(t, Sops(t)),
	}
	if keys := Program(t) + "-keys"; exists(keys) {
		public(t, keys) // is looked for beside the program
	}
	for _, name := range []string{"PATH", "GOMAXPROCS", "GORACE"} {
		if v, ok := os.LookupEnv(name); ok {
			cmd.Env = append(cmd.Env, name+"="+v)
		}
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: u.UID, Gid: u.GID}}
	return cmd
}

// OrdinaryUser finds a user who is not root and has a line in /etc/passwd,
// without which fusermount3 does not unmount.
func OrdinaryUser(t testing.TB) User {
	t.Helper()
	passwd, err := os.ReadFile("/etc/passwd")
	if err != nil {
		t.Fatal(err)
	}
	var best User
	for line := range strings.Lines(string(passwd)) {
		f := strings.Split(line, ":")
		if len(f) < 4 {
			continue
		}
		uid, err1 := strconv.ParseUint(f[2], 10, 32)
		gid, err2 := strconv.ParseUint(f[3], 10, 32)
		if errors.Join(err1, err2) == nil && uid > uint64(best.UID) && uid < 60000 {
			best = User{Name: f[0], UID: uint32(uid), GID: uint32(gid)}
		}
	}
	if best.UID == 0 {
		t.Skip("SKIPPED: /etc/passwd has no ordinary user")
	}
	return best
}

// needFuse skips where u cannot open /dev/fuse; udev makes it 0666.
func needFuse(t testing.TB, u User) {
	t.Helper()
	var s unix.Stat_t
	if err := unix.Stat("/dev/fuse", &s); err != nil {
		t.Fatalf("looking at /dev/fuse: %v", err)
	}
	if _, err := exec.LookPath("fusermount3"); s.Mode&0o006 == 0o006 && err == nil {
		return
	}
	const why = "user mounts need fusermount3 and a /dev/fuse of mode 0666 (tests/setup.sh test sees to it)"
	if os.Getenv("SECRETFS_TEST_FUSE") == "required" {
		t.Fatal(why)
	}
	t.Skip("SKIPPED: " + why)
}

// ownedBy makes a home for u that goes with the test.
func ownedBy(t testing.TB, u User) string {
	t.Helper()
	home, err := os.MkdirTemp("", "sfs-home-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(home); err != nil {
			t.Errorf("removing the user's home: %v", err)
		}
	})
	for _, dir := range []string{home, home + "/tmp", home + "/run"} {
		err := errors.Join(os.MkdirAll(dir, 0o700), os.Chown(dir, int(u.UID), int(u.GID)))
		if err != nil {
			t.Fatal(err)
		}
	}
	return home
}

// public copies a program to where every user may run it.
func public(t testing.TB, program string) string {
	t.Helper()
	if err := os.Chmod(scratch(), 0o755); err != nil {
		t.Fatal(err)
	}
	copied := filepath.Join(scratch(), filepath.Base(program))
	if exists(copied) {
		return copied
	}
	from, err := os.Open(program)
	if err != nil {
		t.Fatal(err)
	}
	defer from.Close()
	to, err := os.OpenFile(copied, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o755)
	if err != nil {
		t.Fatal(err)
	}
	_, err = io.Copy(to, from)
	if err := errors.Join(err, to.Close()); err != nil {
		t.Fatal(err)
	}
	return copied
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
