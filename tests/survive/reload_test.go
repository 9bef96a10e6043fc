package survive

import (
	"errors"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/secretfs/secretfs/tests/harness"
)

const garbage = `mount: [not, a, path]
backends:
  main: {type: sops, file: secrets.yaml, colour: blue}
secrets:
  a: {backend: nowhere}
  ../b: {backend: main}
`

// TestGarbageAtReload keeps the old policy in force, also for the workers that
// come after.
func TestGarbageAtReload(t *testing.T) {
	m := harness.New(t, harness.Options{Plain: "a: one\n"})
	good, err := os.ReadFile(m.Policy)
	if err != nil {
		t.Fatal(err)
	}
	m.Read("a")
	replace(t, m.Policy, garbage)
	out, err := m.Run("reload")
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 3 {
		t.Errorf("reload: %v, want exit code 3", err)
	}
	problems := []string{
		"the policy has errors, the old one stays in force:",
		m.Policy + ":1:8:", m.Policy + ":3:", m.Policy + ":5:", m.Policy + ":6:", "colour", "nowhere",
	}
	for _, want := range problems {
		if !strings.Contains(out, want) {
			t.Errorf("reload does not say %q:\n%s", want, out)
		}
	}
	inForce := func(when string) {
		t.Helper()
		if got := m.Read("a"); got != "one" {
			t.Errorf("%s: %q", when, got)
		}
		if notices := strings.Join(m.Status().Notices, "\n"); !strings.Contains(notices, m.Policy+":3:") {
			t.Errorf("%s: status says %q", when, notices)
		}
	}
	inForce("after reload")
	m.KillWorker()
	inForce("after a kill")
	m.Must("upgrade")
	inForce("after an upgrade")
	if err := os.Remove(m.Policy); err != nil {
		t.Fatal(err)
	}
	m.KillWorker()
	if got := m.Read("a"); got != "one" {
		t.Errorf("without a policy file: %q", got)
	}
	replace(t, m.Policy, string(good))
	m.Must("reload")
	if notices := m.Status().Notices; len(notices) > 0 {
		t.Errorf("after a good one, status says %q", notices)
	}
}

// replace writes a file as editors do.
func replace(t *testing.T, path, text string) {
	t.Helper()
	err := os.WriteFile(path+".new", []byte(text), 0o644)
	if err == nil {
		err = os.Rename(path+".new", path)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// TestPolicyChangesAtOnce changes everything about files that the kernel has
// cached: what reload returns to must be the new world.
func TestPolicyChangesAtOnce(t *testing.T) {
	m := harness.New(t, harness.Options{
		Plain: "a: one\nb: two\nc: three\n",
		Policy: "secrets:\n  a: {backend: main}\n  b: {backend: main}\n  dir/c: {backend: main, key: c}\n" +
			"  turns: {backend: main, key: a}\n",
	})
	file := m.Root + "/file"
	bind(t, m.Path("b"), file, false)
	held := open(t, m.Path("b"))
	for _, path := range []string{"a", "b", "dir/c", "turns"} {
		m.Read(path)
	}
	for _, path := range []string{"new", "dir/new"} { // cached as absent
		if _, err := os.Stat(m.Path(path)); !errors.Is(err, os.ErrNotExist) {
			t.Fatalf("stat %s: %v", path, err)
		}
	}
	if out := readAsNobody(m.Path("a")); !strings.Contains(out, "Permission denied") {
		t.Errorf("before: nobody reads %q", out)
	}
	m.WritePolicy(harness.Options{
		Head: "backends:\n  main: {type: sops, file: secrets.yaml, age: {key_files: [keys.txt]}}\n  other: {type: sops, file: other.yaml, age: {key_files: [keys.txt]}}\n",
		Policy: "secrets:\n  a: {backend: main, owner: nobody, mode: \"0440\"}\n  new: {backend: main, key: b}\n" +
			"  dir/new: {backend: other, key: a}\n  dir/c: {backend: main, key: b}\n  turns/x: {backend: main, key: a}\n",
	})
	if err := os.WriteFile(m.Root+"/other.yaml", []byte(m.Encrypted("a: another file\n")), 0o600); err != nil {
		t.Fatal(err)
	}
	m.Must("reload")
	if info, err := os.Stat(m.Path("a")); err != nil || info.Mode() != 0o440 || info.Sys().(*syscall.Stat_t).Uid != nobody {
		t.Errorf("a: %v, %v", info, err)
	}
	if out := readAsNobody(m.Path("a")); out != "one" {
		t.Errorf("after: nobody reads %q", out)
	}
	for path, want := range map[string]string{"new": "two", "dir/new": "another file", "dir/c": "two", "turns/x": "one"} {
		if got := m.Read(path); got != want {
			t.Errorf("%s: %q, want %q", path, got, want)
		}
		if info, err := os.Stat(m.Path(path)); err != nil || info.Size() != int64(len(want)) {
			t.Errorf("stat %s: %v, %v", path, info, err)
		}
	}
	for _, path := range []string{m.Path("b"), file} {
		if _, err := os.ReadFile(path); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s, which is no more: %v", path, err)
		}
	}
	if got := rest(t, held); got != "two" {
		t.Errorf("a file opened before: %q", got)
	}
}

func readAsNobody(path string) string {
	argv := append(asNobody(userPath), "cat", path)
	out, _ := exec.Command(argv[0], argv[1:]...).CombinedOutput() // the output tells
	return string(out)
}

func TestKeyFilesThatAreNoGood(t *testing.T) {
	for name, spoil := range map[string]func(m *harness.Mount) error{
		"missing":     func(m *harness.Mount) error { return os.Remove(m.Keys) },
		"a directory": func(m *harness.Mount) error { return errors.Join(os.Remove(m.Keys), os.Mkdir(m.Keys, 0o700)) },
		"another key": func(m *harness.Mount) error { return os.WriteFile(m.Keys, []byte(harness.NewIdentity(t)+"\n"), 0o600) },
		"garbage":     func(m *harness.Mount) error { return os.WriteFile(m.Keys, []byte("no key at all\n"), 0o600) },
		"empty":       func(m *harness.Mount) error { return os.Truncate(m.Keys, 0) },
		"a FIFO":      func(m *harness.Mount) error { return errors.Join(os.Remove(m.Keys), syscall.Mkfifo(m.Keys, 0o600)) },
	} {
		t.Run(name, func(t *testing.T) {
			m := harness.New(t, harness.Options{Plain: "a: one\n", NoMount: true, Policy: "secrets:\n  a: {backend: main}\n"})
			key, err := os.ReadFile(m.Keys)
			if err == nil {
				err = spoil(m)
			}
			if err != nil {
				t.Fatal(err)
			}
			m.Mount()
			if _, err := os.ReadFile(m.Path("a")); !errors.Is(err, syscall.ENOKEY) {
				t.Errorf("%v, want ENOKEY", err)
			}
			if s := m.Status(); s.Secrets[0].State != "locked" || s.Secrets[0].Error == "" {
				t.Errorf("status has %+v", s.Secrets)
			}
			if info, err := os.Stat(m.Path("a")); err != nil || info.Size() != 3 {
				t.Errorf("stat: %v, %v", info, err)
			}
			if err := os.RemoveAll(m.Keys); err != nil {
				t.Fatal(err)
			}
			replace(t, m.Keys, string(key))
			harness.Eventually(t, "it heals", func() bool {
				b, err := os.ReadFile(m.Path("a"))
				return err == nil && string(b) == "one"
			})
		})
	}
}

// TestNothingIsKeptOfABackendThatIsGone: what opened it does not stay behind in
// memory for one of the same name to come.
func TestNothingIsKeptOfABackendThatIsGone(t *testing.T) {
	with := harness.Options{
		Head:   "linger: 0s\nbackends: {main: {type: sops, timeout: 1s, file: secrets.yaml, age: {key_files: [keys.txt]}}}\n",
		Policy: "secrets: {a: {backend: main}}\n",
	}
	without := harness.Options{
		Head:   "linger: 0s\nbackends: {other: {type: sops, file: secrets.yaml, age: {key_files: [no-keys.txt]}}}\n",
		Policy: "secrets: {b: {backend: other}}\n",
	}
	m := harness.New(t, harness.Options{Plain: "a: one\n", Head: with.Head, Policy: with.Policy})
	m.Read("a")
	if err := os.Remove(m.Keys); err != nil {
		t.Fatal(err)
	}
	m.KillWorker()
	if got := m.Read("a"); got != "one" {
		t.Errorf("without its key file, after a kill: %q", got)
	}
	harness.Eventually(t, "the data key is gone", func() bool {
		m.WritePolicy(without)
		m.Must("reload")
		time.Sleep(3 * time.Second) // requests that began before have their time
		m.WritePolicy(with)
		m.Must("reload")
		_, err := os.ReadFile(m.Path("a"))
		return errors.Is(err, syscall.ENOKEY)
	})
}
