package kernel

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"filippo.io/age"
	"golang.org/x/sys/unix"

	"github.com/secretfs/secretfs/tests/harness"
)

// A cause is one reason why a secret cannot be read, with what a program and a
// person are told.
type cause struct {
	name, path string
	errno      syscall.Errno
	// sentence is what status and the extended attribute say; empty where
	// there is none, or nobody to be told. ROOT is the folder of the mount,
	// KEY the recipient of its files.
	sentence string
	// state is the secret's in status; empty if the policy does not list it.
	state string
	// user says that it stops no root.
	user bool
}

var causes = []cause{
	{name: "not in the policy", path: "nowhere", errno: unix.ENOENT},
	{name: "below a secret", path: "ok/nowhere", errno: unix.ENOTDIR},
	{name: "refused by its mode", path: "mode", errno: unix.EACCES, state: "ready", user: true},
	{name: "refused by a rule", path: "rule", errno: unix.EACCES, state: "ready"},
	{
		name: "no such key", path: "typo", errno: unix.ENOENT, state: "failed",
		sentence: `backend "main": reading ROOT/secrets.yaml: key "typo": the file has no "typo", it has "ok", "mode", "rule", "nested": no such secret`,
	},
	{
		name: "a key below a value", path: "through", errno: unix.ENOENT, state: "failed",
		sentence: `backend "main": reading ROOT/secrets.yaml: key "ok/deeper": "ok" is a value and has no "deeper": no such secret`,
	},
	{
		name: "a key file that is not there", path: "locked", errno: unix.ENOKEY, state: "locked",
		sentence: `reading ROOT/secrets.yaml: no identity is at hand for the recipient KEY; ROOT/locked.txt: no such file or directory`,
	},
	{
		name: "another key", path: "other", errno: unix.ENOKEY, state: "locked",
		sentence: `reading ROOT/secrets.yaml: no identity matches the recipient KEY`,
	},
	{
		name: "the key, and it is refused", path: "rejected", errno: unix.EKEYREJECTED, state: "failed",
		sentence: `reading ROOT/rejected.yaml: ROOT/keys.txt:1 is the key for KEY and does not open its entry: the entry is damaged or was made for another key`,
	},
	{
		name: "forged", path: "forged", errno: unix.EBADMSG, state: "failed",
		sentence: `backend "forged": reading ROOT/forged.yaml: a value does not decrypt: it was changed, moved or damaged: damaged or forged`,
	},
	{
		name: "forged, a value left out", path: "less", errno: unix.EBADMSG, state: "failed",
		sentence: `backend "less": reading ROOT/less.yaml: its MAC does not fit its values: it was changed without sops, or damaged: damaged or forged`,
	},
	{
		name: "cut off", path: "cut", errno: unix.EBADMSG, state: "failed",
		sentence: `backend "cut": reading ROOT/cut.yaml: it has no sops section; is it encrypted?: damaged or forged`,
	},
	{
		name: "empty", path: "hollow", errno: unix.EBADMSG, state: "failed",
		sentence: `backend "hollow": reading ROOT/hollow.yaml: the file is empty: damaged or forged`,
	},
	{
		name: "not encrypted", path: "plain", errno: unix.EBADMSG, state: "failed",
		sentence: `backend "plain": reading ROOT/plain.yaml: it has no sops section; is it encrypted?: damaged or forged`,
	},
	{
		name: "no such file", path: "gone", errno: unix.EHOSTUNREACH, state: "failed",
		sentence: `backend "gone": reading ROOT/gone.yaml: there is no such file: not reachable`,
	},
	{
		name: "a directory", path: "folder", errno: unix.EHOSTUNREACH, state: "failed",
		sentence: `backend "folder": reading ROOT/folder.yaml: it is a directory: not reachable`,
	},
	{
		name: "a file that does not open", path: "fifo", errno: unix.ETIMEDOUT, state: "failed",
		sentence: `backend "fifo": reading ROOT/fifo.yaml: the file does not open: too slow`,
	},
}

// TestErrors reads what cannot be read, and looks at what is said of it.
func TestErrors(t *testing.T) {
	harness.Matrix(t, func(t *testing.T) {
		m := brokenMount(t)
		for _, c := range causes {
			t.Run(c.name, func(t *testing.T) { c.check(t, m) })
		}
		// None of it delays what works.
		if start := time.Now(); m.Read("ok") != "fine" || time.Since(start) > time.Second {
			t.Errorf("reading what works took %v", time.Since(start))
		}
	})
}

// brokenMount has a backend for each cause.
func brokenMount(t *testing.T) *harness.Mount {
	t.Helper()
	backends := map[string]string{"main": "secrets.yaml", "locked": "secrets.yaml", "other": "secrets.yaml"}
	for _, name := range []string{"rejected", "forged", "less", "cut", "hollow", "plain", "gone", "folder", "fifo"} {
		backends[name] = name + ".yaml"
	}
	var head, policy strings.Builder
	head.WriteString("backends:\n")
	for name, file := range backends {
		keys := "keys.txt"
		if name == "locked" || name == "other" {
			keys = name + ".txt"
		}
		fmt.Fprintf(&head, "  %s: {type: sops, file: %s, timeout: 1s, age: {key_files: [%s]}}\n", name, file, keys)
		if name != "main" {
			fmt.Fprintf(&policy, "  %s: {backend: %s, key: ok}\n", name, name)
		}
	}
	m := harness.New(t, harness.Options{
		Plain: `{"ok": "fine", "mode": "m", "rule": "r", "nested": {"deep": "d"}}`, Head: head.String(), NoMount: true,
		Policy: "secrets:\n  ok: {backend: main}\n" +
			"  mode: {backend: main, mode: \"0000\", uid: 4294967000, gid: 4294967000}\n" +
			"  rule: {backend: main, only: {users: [\"4294967000\"]}}\n" +
			"  typo: {backend: main}\n  through: {backend: main, key: ok/deeper}\n" + policy.String(),
	})
	spoil(t, m)
	m.Mount()
	return m
}

func spoil(t *testing.T, m *harness.Mount) {
	t.Helper()
	good, err := os.ReadFile(m.Secrets)
	if err != nil {
		t.Fatal(err)
	}
	in := func(name string) string { return filepath.Join(m.Root, name) }
	other := harness.NewIdentity(t)
	put(t, in("other.txt"), other+"\n")
	put(t, in("rejected.yaml"), misaddressed(t, m, other))
	put(t, in("forged.yaml"), swapped(string(good), "ok:", "mode:"))
	put(t, in("less.yaml"), regexp.MustCompile(`(?m)^mode:.*\n`).ReplaceAllString(string(good), ""))
	put(t, in("cut.yaml"), string(good[:strings.Index(string(good), "\nsops:")]))
	put(t, in("hollow.yaml"), "")
	put(t, in("plain.yaml"), "ok: not encrypted\n")
	err = errors.Join(os.Mkdir(in("folder.yaml"), 0o700), unix.Mkfifo(in("fifo.yaml"), 0o600))
	if err != nil {
		t.Fatal(err)
	}
}

// misaddressed is encrypted for another key than the one that it names.
func misaddressed(t *testing.T, m *harness.Mount, identity string) string {
	t.Helper()
	key, err := age.ParseX25519Identity(identity)
	if err != nil {
		t.Fatal(err)
	}
	ours, theirs := m.Recipient, key.Recipient().String()
	m.Recipient = theirs
	defer func() { m.Recipient = ours }()
	return strings.ReplaceAll(m.Encrypted(`{"ok": "fine"}`), theirs, ours)
}

// swapped exchanges the rest of two lines of a YAML file.
func swapped(file, a, b string) string {
	lines := strings.SplitAfter(file, "\n")
	var at [2]int
	for i, line := range lines {
		for j, key := range []string{a, b} {
			if strings.HasPrefix(line, key) {
				at[j] = i
			}
		}
	}
	valueA, valueB := strings.TrimPrefix(lines[at[0]], a), strings.TrimPrefix(lines[at[1]], b)
	lines[at[0]], lines[at[1]] = a+valueB, b+valueA
	return strings.Join(lines, "")
}

func (c *cause) check(t *testing.T, m *harness.Mount) {
	if c.user && os.Geteuid() == 0 {
		return
	}
	begin := time.Now()
	_, err := os.ReadFile(m.Path(c.path))
	if !errors.Is(err, c.errno) || time.Since(begin) > 10*time.Second {
		t.Errorf("got %v after %v, want %v", err, time.Since(begin), c.errno)
	}
	sentence := strings.NewReplacer("ROOT", m.Root, "KEY", m.Recipient).Replace(c.sentence)
	if got, err := attribute(m.Path(c.path), "error"); got != sentence || sentence != "" && err != nil {
		t.Errorf("attribute: got %q, %v\nwant %q", got, err, sentence)
	}
	for _, s := range m.Status().Secrets {
		if s.Path == c.path && (s.State != c.state || s.Error != sentence) {
			t.Errorf("status: got %s: %q\nwant %s: %q", s.State, s.Error, c.state, sentence)
		}
	}
	if records := m.Audit(); c.recorded() {
		last := records[len(records)-1]
		if last.Path != c.path || last.Errno != unix.ErrnoName(c.errno) || last.Outcome == "allowed" {
			t.Errorf("recorded %+v", last)
		}
	}
}

// recorded: a name that is not there is never opened.
func (c *cause) recorded() bool { return c.errno != unix.ENOTDIR && c.state != "" }
