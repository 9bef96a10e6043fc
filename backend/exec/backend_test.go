package exec_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/secretfs/secretfs/backend"
	"github.com/secretfs/secretfs/backend/backendtest"
	"github.com/secretfs/secretfs/backend/exec"
	"github.com/secretfs/secretfs/backend/helper/helpertest"
	"github.com/secretfs/secretfs/backend/program"
)

// TestMain lets the test binary be the helper as well.
func TestMain(m *testing.M) { helpertest.Main(m, program.Solve) }

func open(t *testing.T, s exec.Settings, slot backend.Slot) backend.Backend {
	t.Helper()
	start := helpertest.Exec{Commands: map[string][]string{program.Kind: {"/proc/self/exe", helpertest.Role}}}
	b, err := exec.Open(s, backend.Env{Helper: start.Run, State: slot})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	return b
}

func limited(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func get(t *testing.T, b backend.Backend, key string) (string, backend.Version, error) {
	t.Helper()
	s, err := b.Get(limited(t), key)
	if err != nil {
		return "", "", err
	}
	defer s.Value.Destroy()
	return string(s.Value.Bytes()), s.Version, nil
}

// A store is a directory of secrets and a script that prints them: a small pass.
func store(t *testing.T, plaintexts map[string]string) exec.Settings {
	t.Helper()
	dir := t.TempDir()
	for key, plain := range plaintexts {
		path := filepath.Join(dir, key)
		err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte(plain+"\n"), 0o600))
		if err != nil {
			t.Fatal(err)
		}
	}
	const script = `
case $1 in
	damaged) echo "$1: no data" >&2; cat token; exit 65;;
	denied) echo "the store is locked; the token is $(cat token)" >&2; cat token; exit 77;;
esac
[ ! -e .stalled ] || sleep 3600
[ ! -e .cut ] || { echo "nobody answers" >&2; exit 1; }
[ -f "$1" ] || { echo "$1 is not in the store" >&2; exit 66; }
cat "$1"`
	return exec.Settings{Command: []string{"sh", "-c", script, "store", "{key}"}, Dir: dir, Trim: true}
}

var plaintexts = map[string]string{
	"token": "canary-token-0001", "db/password": "canary-password-0002", "db/$(id) `id`; \"key\"": "canary-key-0003",
}

func TestSuite(t *testing.T) {
	backendtest.Run(t, func(t *testing.T) backendtest.Fixture {
		b := open(t, store(t, plaintexts), backend.Slot{})
		opens := func(key string) func(*testing.T) (backend.Backend, string) {
			return func(t *testing.T) (backend.Backend, string) {
				return open(t, store(t, plaintexts), backend.Slot{}), key
			}
		}
		return backendtest.Fixture{
			Backend: b, Secrets: plaintexts, Missing: "nope", Corrupt: opens("damaged"), Denied: opens("denied"), Server: remote, Slow: remote,
			Reopen: func(t *testing.T, slot backend.Slot) backend.Backend { return open(t, store(t, plaintexts), slot) },
			// What is locked a command cannot say otherwise than that it refuses.
			Without: []string{"index", "locked", "places"},
		}
	})
}

// remote is a store somewhere behind the command.
func remote(t *testing.T) backendtest.Server {
	s := store(t, plaintexts)
	sign := func(name string) func() {
		return func() {
			if err := os.WriteFile(filepath.Join(s.Dir, name), nil, 0o600); err != nil {
				t.Error(err)
			}
		}
	}
	return backendtest.Server{
		Backend: open(t, s, backend.Slot{}), Key: "token", Alone: true, Cut: sign(".cut"), Stall: sign(".stalled"),
		Mend: func() {
			os.Remove(filepath.Join(s.Dir, ".cut"))
			os.Remove(filepath.Join(s.Dir, ".stalled"))
		},
	}
}

func TestOutput(t *testing.T) {
	for _, c := range []struct {
		format string
		trim   bool
		want   string
	}{
		{`secret\n`, true, "secret"},
		{`secret\r\n`, true, "secret"},
		{`two\nlines\n\n`, true, "two\nlines\n"},
		{` secret `, true, " secret "},
		{`secret\n`, false, "secret\n"},
		{`\n`, false, "\n"},
		{`a\0b`, true, "a\x00b"},
	} {
		b := open(t, exec.Settings{Command: []string{"printf", c.format + "{key}"}, Trim: c.trim}, backend.Slot{})
		if got, _, err := get(t, b, ""); got != c.want || err != nil {
			t.Errorf("%q: got %q, %v, want %q", c.format, got, err, c.want)
		}
	}
}

func TestRefused(t *testing.T) {
	sh := func(script string) exec.Settings {
		return exec.Settings{Command: []string{"sh", "-c", script, "{key}"}, Trim: true}
	}
	for name, c := range map[string]struct {
		exec.Settings
		kind error
		want string
	}{
		"fails":      {sh("echo vault is sealed >&2; exit 1"), backend.ErrUnavailable, "running sh as uid " + fmt.Sprint(os.Getuid()) + ": exit status 1: vault is sealed"},
		"silent":     {sh("true"), backend.ErrNotFound, "running sh: it printed nothing"},
		"blank":      {sh("echo"), backend.ErrNotFound, "running sh: it printed nothing"},
		"endless":    {exec.Settings{Command: []string{"yes", "{key}"}}, backend.ErrUnsupported, "it prints more than 1048576 bytes"},
		"no program": {exec.Settings{Command: []string{"no-such-tool", "{key}"}}, backend.ErrUnavailable, "there is no such program in PATH"},
		"no command": {exec.Settings{}, backend.ErrNotFound, `there is no command for "k"`},
	} {
		_, _, err := get(t, open(t, c.Settings, backend.Slot{}), "k")
		if !errors.Is(err, c.kind) || !strings.Contains(err.Error(), c.want) || !backend.IsAlone(err) {
			t.Errorf("%s: got %v (alone: %v), want %v: …%s…", name, err, backend.IsAlone(err), c.kind, c.want)
		}
	}
}

// TestEchoes: a command that fails quotes nothing of what it has printed before.
func TestEchoes(t *testing.T) {
	for value, said := range map[string]string{
		"correct horse battery": "no: correct h is wrong", "tr0ub4dor": "is it tr0ub4dor?", "1234": "the PIN 1234 is blocked",
	} {
		file := t.TempDir() + "/value"
		if err := os.WriteFile(file, []byte(value), 0o600); err != nil {
			t.Fatal(err)
		}
		b := open(t, exec.Settings{Command: []string{"sh", "-c", `cat $0 2>/dev/null || { echo "$1" >&2; exit 77; }`, file, said, "{key}"}}, backend.Slot{})
		if got, _, err := get(t, b, "k"); got != value || err != nil {
			t.Fatalf("got %q, %v", got, err)
		}
		if err := os.Remove(file); err != nil {
			t.Fatal(err)
		}
		_, _, err := get(t, b, "k")
		if !errors.Is(err, backend.ErrRejected) || !strings.HasPrefix(err.Error(), "running sh: it failed, and what it said shows a part of the secret") || !backend.IsAlone(err) {
			t.Errorf("%s: got %v", value, err)
		}
		if _, _, err := get(t, b, "another"); !strings.Contains(err.Error(), said) {
			t.Errorf("of another secret: got %v", err)
		}
		if err := b.(backend.Locker).Lock(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

// TestEnvironment: a command starts where and with what the policy says.
func TestEnvironment(t *testing.T) {
	const script = `echo "$A $PWD"; readlink /proc/self/fd/0`
	b := open(t, exec.Settings{Command: []string{"sh", "-c", script, "{key}"}, Env: []string{"A=b c"}, Dir: "/usr"}, backend.Slot{})
	if got, _, err := get(t, b, ""); got != "b c /usr\n/dev/null\n" || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
}

// TestVersions: they are told by content and salt, and the next worker has the same.
func TestVersions(t *testing.T) {
	saved := make(chan backend.Legacy, 1)
	s := store(t, plaintexts)
	b := open(t, s, backend.Slot{Save: func(l backend.Legacy) { saved <- l }})
	_, first, err := get(t, b, "token")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(s.Dir+"/token", []byte("another"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got, second, err := get(t, b, "token"); got != "another" || second == first {
		t.Errorf("got %q, %v, version %s, before %s", got, err, second, first)
	}
	if err := os.WriteFile(s.Dir+"/token", []byte(plaintexts["token"]), 0o600); err != nil {
		t.Fatal(err)
	}
	l := <-saved
	defer l.Keys.Destroy()
	if _, next, err := get(t, open(t, s, backend.Slot{Saved: l}), "token"); next != first || err != nil {
		t.Errorf("in the next worker: %v, version %s, before %s", err, next, first)
	}
}

// TestDeadline: it ends the command, what that has started, and is not of the one
// secret alone.
func TestDeadline(t *testing.T) {
	pids := t.TempDir() + "/pids"
	b := open(t, exec.Settings{Command: []string{"sh", "-c", "sleep 3600 & echo $! $$ >" + pids + "; wait", "{key}"}}, backend.Slot{})
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	if _, err := b.Get(ctx, "k"); !errors.Is(err, backend.ErrTimeout) || backend.IsAlone(err) {
		t.Errorf("got %v", err)
	}
	endsAll(t, pids)
}

// TestCloseEnds: a closed backend runs nothing.
func TestCloseEnds(t *testing.T) {
	pids := t.TempDir() + "/pids"
	b := open(t, exec.Settings{Command: []string{"sh", "-c", "sleep 3600 & echo $! $$ >" + pids + "; wait", "{key}"}}, backend.Slot{})
	failed := make(chan error, 1)
	go func() {
		_, err := b.Get(context.Background(), "k")
		failed <- err
	}()
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if _, err := os.Stat(pids); err == nil {
			break
		}
		if time.Now().After(end) {
			t.Fatal("it does not start")
		}
	}
	b.Close()
	if err := <-failed; !errors.Is(err, backend.ErrUnavailable) {
		t.Errorf("got %v", err)
	}
	endsAll(t, pids)
}

// endsAll waits until no process of those lives.
func endsAll(t *testing.T, file string) {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, pid := range strings.Fields(string(b)) {
		for end := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
			stat, err := os.ReadFile("/proc/" + pid + "/stat")
			if err != nil || strings.Contains(string(stat), ") Z ") {
				break
			}
			if time.Now().After(end) {
				t.Fatalf("process %s lives", pid)
			}
		}
	}
}
