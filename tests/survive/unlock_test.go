package survive

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"filippo.io/age"
	"filippo.io/age/agessh"
	"golang.org/x/sys/unix"

	"github.com/secretfs/secretfs/tests/harness"
)

const passphrase = "correct horse battery staple"

// sealed makes a mount of age files that one ssh key opens, which takes the
// passphrase. Backends are settings by name; each has a secret of its name.
func sealed(t *testing.T, backends string, names ...string) *harness.Mount {
	t.Helper()
	policy := "secrets:\n  pass: {backend: main, key: pass}\n"
	for _, name := range names {
		policy += "  " + name + ": {backend: " + name + ", file: a.age}\n"
	}
	m := harness.New(t, harness.Options{
		Plain: "pass: " + passphrase + "\n", NoMount: true, Policy: policy,
		Head: "backends:\n  main: {type: sops, file: secrets.yaml, identities: [keys.txt]}\n" + backends,
	})
	protectedKey(t, filepath.Join(m.Root, "id"))
	wrap(t, m, "a.age")
	return m
}

// protectedKey is made by ssh-keygen.
func protectedKey(t *testing.T, path string) {
	t.Helper()
	if out, err := exec.Command("ssh-keygen", "-q", "-t", "ed25519", "-N", passphrase, "-f", path).CombinedOutput(); err != nil {
		t.Fatalf("ssh-keygen: %v\n%s", err, out)
	}
}

// typed runs secretfs unlock with something on stdin.
func typed(t *testing.T, m *harness.Mount, name, line string) (string, error) {
	t.Helper()
	cmd := exec.Command(harness.Program(t), "unlock", "--control", m.Control, "--stdin", name)
	cmd.Stdin = strings.NewReader(line + "\n")
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// locked checks that a secret cannot be opened, and how its backend is shown.
func locked(t *testing.T, m *harness.Mount, path, name string) {
	t.Helper()
	if _, err := os.ReadFile(m.Path(path)); !errors.Is(err, unix.ENOKEY) {
		t.Errorf("reading %s of a locked backend: %v", path, err)
	}
	if got := stateOf(t, m, name); got != "locked" {
		t.Errorf("backend %s is %s", name, got)
	}
}

func stateOf(t *testing.T, m *harness.Mount, name string) string {
	t.Helper()
	for _, b := range m.Status().Backends {
		if b.Name == name {
			return b.State
		}
	}
	return ""
}

const asked = "  a: {type: age, identities: [id], passphrase: {ask: true}}\n"

// TestUnlock has somebody type a passphrase, and everything die around it.
func TestUnlock(t *testing.T) {
	harness.Matrix(t, func(t *testing.T) {
		m := sealed(t, asked, "a")
		m.Mount()
		if got := stateOf(t, m, "a"); got != "locked" {
			t.Errorf("before anybody asks for it the backend is %s", got)
		}
		locked(t, m, "a", "a")
		if out, err := typed(t, m, "a", "wrong horse"); err == nil || !strings.Contains(out, "the passphrase of "+m.Root+"/id is wrong") {
			t.Errorf("wrong passphrase: %v\n%s", err, out)
		}
		locked(t, m, "a", "a")
		if out, err := typed(t, m, "a", passphrase); err != nil || out != "a is open\n" {
			t.Fatalf("right passphrase: %v\n%s", err, out)
		}
		reads := func(when string) {
			t.Helper()
			if got := m.Read("a"); got != "value of a" {
				t.Errorf("%s: got %q", when, got)
			}
		}
		reads("unlocked")
		m.KillWorker()
		wrap(t, m, "a.age")
		reads("after a kill, and of a new file")
		m.Must("upgrade")
		wrap(t, m, "a.age")
		reads("after an upgrade, and of a new file")
		killHolder(t, m)
		m.Mount()
		m.KillWorker()
		wrap(t, m, "a.age")
		reads("after the holder's death, a worker's, and of a new file")

		fd := open(t, m.Path("a"))
		m.Must("lock", "a")
		locked(t, m, "a", "a")
		if got := rest(t, fd); got != "value of a" {
			t.Errorf("a file that was open when it was locked: %q", got)
		}
		m.KillWorker()
		locked(t, m, "a", "a")
		if out, err := typed(t, m, "a", passphrase); err != nil {
			t.Errorf("unlocked again: %v\n%s", err, out)
		}
		reads("unlocked again")
		showsNowhere(t, m)
	})
}

// wrap encrypts to the ssh key, anew each time, so that it takes that key to read
// the file.
func wrap(t *testing.T, m *harness.Mount, name string) {
	t.Helper()
	public, err := os.ReadFile(m.Root + "/id.pub")
	if err != nil {
		t.Fatal(err)
	}
	to, err := agessh.ParseRecipient(string(public))
	if err != nil {
		t.Fatal(err)
	}
	var file bytes.Buffer
	w, err := age.Encrypt(&file, to)
	if err == nil {
		_, err = w.Write([]byte("value of a"))
		err = errors.Join(err, w.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
	write(t, m.Root+"/next", file.String())
	if err := os.Rename(m.Root+"/next", filepath.Join(m.Root, name)); err != nil {
		t.Fatal(err)
	}
}

// showsNowhere looks for the passphrase where it must not be.
func showsNowhere(t *testing.T, m *harness.Mount) {
	t.Helper()
	audit, err := os.ReadFile(m.AuditLog)
	if err != nil {
		t.Fatal(err)
	}
	status, err := json.Marshal(m.Status())
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string][]byte{"log": []byte(m.Log()), "audit log": audit, "status": status} {
		if bytes.Contains(text, []byte(passphrase[:8])) {
			t.Errorf("the %s has the passphrase in it", name)
		}
	}
	m.VerifyAudit()
}

// TestLockForgetsValues: what the kernel has been given to read by itself is no
// way around a lock, and neither is a backend that needs nobody.
func TestLockForgetsValues(t *testing.T) {
	harness.Matrix(t, func(t *testing.T) {
		m := harness.New(t, harness.Options{Plain: "x: one\n"})
		if got := m.Read("x"); got != "one" {
			t.Errorf("got %q", got)
		}
		m.Must("lock")
		locked(t, m, "x", "main")
		m.Encrypt("x: two\n")
		time.Sleep(200 * time.Millisecond) // nothing may come of it
		locked(t, m, "x", "main")
		m.KillWorker()
		locked(t, m, "x", "main")
		if out := m.Must("unlock", "main"); out != "main is open\n" {
			t.Errorf("unlocking: %q", out)
		}
		if got := m.Read("x"); got != "two" {
			t.Errorf("unlocked: got %q", got)
		}
	})
}

// TestWaitForUnlock: who has patience waits until somebody has typed.
func TestWaitForUnlock(t *testing.T) {
	harness.NeedRoot(t)
	m := sealed(t, asked, "a")
	policy, err := os.ReadFile(m.Policy)
	if err != nil {
		t.Fatal(err)
	}
	write(t, m.Policy, strings.Replace(string(policy), "file: a.age", "file: a.age, wait: 1m", 1))
	m.Mount()
	got := make(chan string, 1)
	go func() {
		b, err := os.ReadFile(m.Path("a"))
		if err != nil {
			b = []byte(err.Error())
		}
		got <- string(b)
	}()
	select {
	case text := <-got:
		t.Fatalf("before it was unlocked: %q", text)
	case <-time.After(time.Second):
	}
	if out, err := typed(t, m, "a", passphrase); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if text := <-got; text != "value of a" {
		t.Errorf("got %q", text)
	}
}

// TestAskedFromAnotherBackend: what was typed for one place is not given to
// another one that takes its name.
func TestAskedFromAnotherBackend(t *testing.T) {
	harness.NeedRoot(t)
	m := sealed(t, asked, "a")
	m.Mount()
	if out, err := typed(t, m, "a", passphrase); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	policy, err := os.ReadFile(m.Policy)
	if err != nil {
		t.Fatal(err)
	}
	for _, change := range []struct{ from, to, file, want string }{
		{"type: age, identities: [id]", "type: age, timeout: 9s, identities: [id]", "b.age", "value of a"},
		{"type: age, identities: [id]", "type: age, identities: [id, none]", "c.age", ""},
	} {
		wrap(t, m, change.file)
		write(t, m.Policy, strings.NewReplacer(change.from, change.to, "a.age", change.file).Replace(string(policy)))
		m.Must("reload")
		if b, err := os.ReadFile(m.Path("a")); string(b) != change.want {
			t.Errorf("%s: %q, %v", change.to, b, err)
		}
	}
	locked(t, m, "a", "a")
}
