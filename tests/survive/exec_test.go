package survive

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/secretfs/secretfs/tests/harness"
)

// A passStore is a password store of the real pass, and the GnuPG home that opens
// it.
type passStore struct {
	dir, home string
	user      harness.User
}

func newPassStore(t *testing.T, u harness.User) *passStore {
	t.Helper()
	home, fingerprint := gpgHome(t, u)
	p := &passStore{dir: home + "/store", home: home, user: u}
	p.pass(t, "", "init", fingerprint)
	return p
}

func (p *passStore) env() []string {
	return []string{"PASSWORD_STORE_DIR=" + p.dir, "GNUPGHOME=" + p.home}
}

// pass runs pass as the store's owner does by hand.
func (p *passStore) pass(t *testing.T, stdin string, args ...string) {
	t.Helper()
	cmd := exec.Command("pass", args...)
	cmd.Stdin = strings.NewReader(stdin)
	cmd.Env = append(p.env(), "PATH="+os.Getenv("PATH"), "HOME="+p.home)
	cmd.Dir = "/"
	cmd.SysProcAttr = asUser(p.user)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("pass %q: %v\n%s", args, err, out)
	}
}

// asUser has a process run as u, where that is another one.
func asUser(u harness.User) *syscall.SysProcAttr {
	if os.Getuid() == int(u.UID) {
		return nil
	}
	return &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: u.UID, Gid: u.GID}}
}

// settings are the rest of an entry of backends: that reads the store.
func (p *passStore) settings() string {
	return fmt.Sprintf(`command: [pass, show, "{key}"], env: {PASSWORD_STORE_DIR: %s, GNUPGHOME: %s}`, p.dir, p.home)
}

func (p *passStore) remove(t *testing.T, name string) {
	t.Helper()
	if err := os.Remove(filepath.Join(p.dir, name+".gpg")); err != nil {
		t.Fatal(err)
	}
}

// TestPass reads an ordinary user's password store with the real pass, which a
// system mount runs as that user, and a user's mount as itself.
func TestPass(t *testing.T) {
	harness.Matrix(t, func(t *testing.T) {
		u, as := harness.User{UID: uint32(os.Getuid()), GID: uint32(os.Getgid())}, ""
		if os.Getuid() == 0 {
			u = harness.OrdinaryUser(t)
			as = "user: " + u.Name + ", "
		}
		store := newPassStore(t, u)
		store.pass(t, "corr3ct horse\n", "insert", "--multiline", "mail/me")
		store.pass(t, "battery\nuser: me\n", "insert", "--multiline", "web")
		m := harness.New(t, harness.Options{
			Plain: "x: y\n", Policy: "secrets:\n  mail/me: {backend: store}\n  page: {backend: store, key: web}\n  gone: {backend: store}\n",
			Head: "backends:\n  store: {type: exec, timeout: 20s, " + as + store.settings() + "}\n",
		})
		if got := m.Read("mail/me"); got != "corr3ct horse" {
			t.Errorf("got %q", got)
		}
		if got := m.Read("page"); got != "battery\nuser: me" {
			t.Errorf("got %q", got)
		}
		why, err := errorOf(t, m, "gone")
		if want := fmt.Sprintf("running pass as uid %d: exit status 1: Error: gone is not in the password store.", u.UID); !errors.Is(err, unix.EHOSTUNREACH) || !strings.Contains(why, want) {
			t.Errorf("got %v, %q, want %q", err, why, want)
		}

		// The worker's death costs nothing, a change is seen when it is asked for,
		// and what cannot be read any more is served as it was.
		store.pass(t, "another\n", "insert", "--multiline", "--force", "mail/me")
		m.KillWorker()
		if got := m.Read("mail/me"); got != "corr3ct horse" && got != "another" { // without memfd_secret nothing is kept
			t.Errorf("after a kill: %q", got)
		}
		m.Must("refresh")
		if got := m.Read("mail/me"); got != "another" {
			t.Errorf("refreshed: %q", got)
		}
		store.remove(t, "mail/me")
		m.Must("refresh")
		if got := m.Read("mail/me"); got != "another" {
			t.Errorf("removed from the store: %q", got)
		}
		if status := m.Must("status"); !strings.Contains(status, "stale") {
			t.Errorf("status does not say so:\n%s", status)
		}
	})
}

// TestCommandIsConfined looks at what a command may do: it sees the user's home,
// and neither the mount nor anything of the holder's.
func TestCommandIsConfined(t *testing.T) {
	harness.NeedRoot(t)
	u := harness.OrdinaryUser(t)
	runtime := fmt.Sprintf("/run/user/%d", u.UID)
	if err := os.MkdirAll("/run/user", 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(runtime, 0o700); err == nil {
		t.Cleanup(func() { os.Remove(runtime) })
		if err := os.Chown(runtime, int(u.UID), int(u.GID)); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"VAULT_TOKEN", "GNUPGHOME", "SSH_AUTH_SOCK", "DISPLAY"} {
		t.Setenv(name, "the holder's")
	}
	const script = `id -u; echo $HOME $XDG_RUNTIME_DIR; grep -E "^(CapEff|CapBnd|NoNewPrivs)" /proc/self/status; env; ls $1; ls /proc/self/fd | tr "\n" " "`
	m := harness.New(t, harness.Options{
		Plain: "x: y\n", NoMount: true,
		Policy: "secrets:\n  user: {backend: user, key: x}\n  nobody: {backend: nobody, key: x}\n",
	})
	m.WritePolicy(harness.Options{
		Head: fmt.Sprintf("backends:\n  user: {type: exec, user: %s, command: [sh, -c, '%s', '{key}', %s]}\n"+
			"  nobody: {type: exec, command: [sh, -c, '%[2]s', '{key}', %[3]s]}\n", u.Name, script, m.Dir),
		Policy: "secrets:\n  user: {backend: user, key: x}\n  nobody: {backend: nobody, key: x}\n",
	})
	m.Mount()
	got := m.Read("user")
	for _, want := range []string{
		fmt.Sprintf("%d\n%s %s\n", u.UID, homeOf(t, u), runtime), "CapEff:\t0000000000000000\n", "CapBnd:\t0000000000000000\n", "NoNewPrivs:\t1\n", "USER=" + u.Name + "\n",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in:\n%s", want, got)
		}
	}
	// It does not see what the mount shows: ls gives nothing.
	if strings.Contains(got, "the holder's") || strings.Contains(got, "\nnobody\n") || !strings.HasSuffix(got, "0 1 2 3 ") {
		t.Errorf("it has too much:\n%s", got)
	}
	var uid int
	if _, err := fmt.Sscan(m.Read("nobody"), &uid); err != nil || uid < 1_900_000_000 {
		t.Errorf("without a user it runs as uid %d", uid)
	}
}

func homeOf(t *testing.T, u harness.User) string {
	t.Helper()
	passwd, err := os.ReadFile("/etc/passwd")
	if err != nil {
		t.Fatal(err)
	}
	for line := range bytes.Lines(passwd) {
		if f := strings.Split(string(line), ":"); f[0] == u.Name {
			return f[5]
		}
	}
	return ""
}

// TestCommandHangs: its reader gets ETIMEDOUT, and nothing of it is left.
func TestCommandHangs(t *testing.T) {
	harness.Matrix(t, func(t *testing.T) {
		m := harness.New(t, harness.Options{
			Plain: "x: y\n", Policy: "secrets:\n  slow: {backend: slow}\n  quick: {backend: quick}\n",
			Head: "backends:\n  slow: {type: exec, timeout: 1s, command: [sh, -c, 'sleep 86399 & wait', '{key}']}\n" +
				"  quick: {type: exec, command: [echo, '{key}']}\n",
		})
		begun := time.Now()
		why, err := errorOf(t, m, "slow")
		if !errors.Is(err, unix.ETIMEDOUT) || time.Since(begun) > 10*time.Second {
			t.Errorf("got %v, %q after %v", err, why, time.Since(begun))
		}
		if got := m.Read("quick"); got != "quick" {
			t.Errorf("got %q", got)
		}
		harness.Eventually(t, "all of the command is gone", func() bool {
			all, _ := filepath.Glob("/proc/[0-9]*/cmdline")
			for _, path := range all {
				if b, _ := os.ReadFile(path); strings.HasPrefix(string(b), "sleep\x0086399\x00") {
					return false
				}
			}
			return true
		})
	})
}
