package kernel

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"filippo.io/age"
	"golang.org/x/sys/unix"

	"github.com/secretfs/secretfs/tests/harness"
)

// An agenix is a mount of .age files as agenix lays them out: encrypted to the
// host's ssh key and a person's age key, by the real age.
type agenix struct {
	*harness.Mount
	dir, hostKey string
	person       string // identity file
	recipients   []string
}

const agePolicy = `secrets:
  token: {backend: host}
  renamed: {backend: host, file: db/password.age}
  link: {backend: host}
  foreign: {backend: host}
  damaged: {backend: host}
  passphrase: {backend: host}
  removed: {backend: host}
  plugin: {backend: plugged}
directories:
  all: {backend: host}
  db: {backend: host, prefix: db}
`

func newAgenix(t *testing.T, keyType string) *agenix {
	t.Helper()
	a := &agenix{Mount: harness.New(t, harness.Options{
		Plain: "a: b\n", NoMount: true, Policy: agePolicy,
		Head: "backends:\n  host: {type: age, dir: secrets, ssh_key_files: [host_key]}\n" +
			"  plugged: {type: age, dir: secrets, key_files: [plugin.txt], plugins_path: " + filepath.Dir(harness.Age(t)) + "}\n",
	})}
	a.dir, a.hostKey, a.person = a.Root+"/secrets", a.Root+"/host_key", a.Keys
	run(t, "", "ssh-keygen", "-q", "-t", keyType, "-N", "", "-f", a.hostKey)
	a.recipients = []string{"-R", a.hostKey + ".pub", "-r", a.Recipient}
	return a
}

// run runs a program and gives its output.
func run(t *testing.T, stdin string, argv ...string) string {
	t.Helper()
	cmd := exec.Command(argv[0], argv[1:]...)
	var problems bytes.Buffer
	cmd.Stdin, cmd.Stderr = strings.NewReader(stdin), &problems
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %v\n%s", argv, err, problems.String())
	}
	return string(out)
}

// seal has age write a file in place, as `age -o` does.
func (a *agenix) seal(t *testing.T, name, plain string, flags ...string) {
	t.Helper()
	path := filepath.Join(a.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if len(flags) == 0 {
		flags = a.recipients
	}
	run(t, plain, append([]string{harness.Age(t), "-o", path}, flags...)...)
}

// rekey does what `agenix --rekey` does: decrypt with the person's key, encrypt to
// all recipients of now, move into place.
func (a *agenix) rekey(t *testing.T, name string, edit func(string) string) {
	t.Helper()
	path := filepath.Join(a.dir, name)
	plain := edit(run(t, "", harness.Age(t), "-d", "-i", a.person, path))
	a.seal(t, name+".tmp", plain)
	if err := os.Rename(path+".tmp", path); err != nil {
		t.Fatal(err)
	}
}

// TestAgenix reads what the real age wrote through a real mount, while it is
// edited, rekeyed, listed, removed, and the worker dies.
func TestAgenix(t *testing.T) {
	harness.NeedRoot(t)
	need(t, "ssh-keygen")
	for _, keyType := range []string{"ed25519", "rsa"} {
		t.Run(keyType, func(t *testing.T) {
			a := newAgenix(t, keyType)
			long := string(random(bigSize))
			a.seal(t, "token.age", "the token")
			a.seal(t, "db/password.age", "armored", append(a.recipients, "--armor")...)
			a.seal(t, "db/deep/long.age", long)
			store := filepath.Join(a.Root, "store-0-link.age")
			a.seal(t, "../store-0-link.age", "in the store")
			if err := os.Symlink(store, a.dir+"/link.age"); err != nil {
				t.Fatal(err)
			}
			a.Mount.Mount()
			for path, want := range map[string]string{
				"token": "the token", "renamed": "armored", "link": "in the store", "db/password": "armored", "db/deep/long": long,
				"all/token": "the token", "all/db/password": "armored", "all/link": "in the store",
			} {
				info, err := os.Stat(a.Path(path))
				if err != nil || info.Size() != int64(len(want)) {
					t.Errorf("%s: %v, %v, want a size of %d before it is read", path, info, err, len(want))
				}
				if got := a.Read(path); got != want {
					t.Errorf("%s: got %d bytes %.40q", path, len(got), got)
				}
			}
			if got, want := names(t, a.Path("all")), []string{"db", "link", "token"}; !slices.Equal(got, want) {
				t.Errorf("listed: %v, want %v", got, want)
			}
			a.edits(t)
			a.VerifyAudit()
		})
	}
}

func (a *agenix) edits(t *testing.T) {
	becomes := func(path, want string) {
		t.Helper()
		harness.Eventually(t, path+" reads "+want, func() bool {
			b, _ := os.ReadFile(a.Path(path))
			return string(b) == want
		})
	}
	version := func(path string) string {
		t.Helper()
		v, err := attribute(a.Path(path), "version")
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	w := watch(t, a.Path("token"), a.Path("renamed"))
	before, beforeRenamed := version("token"), version("renamed")

	// Rekeyed for one more host: nobody is told. What is told of the other
	// file, edited after it, says that this one has been looked at.
	a.recipients = append(a.recipients, "-r", mustIdentity(t).Recipient().String())
	a.rekey(t, "token.age", func(plain string) string { return plain })
	w.next(t, func() {
		a.rekey(t, "db/password.age", func(plain string) string { return plain + ", edited" })
		becomes("renamed", "armored, edited")
	}, a.Path("renamed"))
	if got := version("renamed"); got == beforeRenamed {
		t.Errorf("edited, the version stays %s", got)
	}
	if got := a.Read("token"); got != "the token" || version("token") != before || w.count(a.Path("token")) != 0 {
		t.Errorf("rekeyed: got %q, version %s, before %s, %d events", got, version("token"), before, w.count(a.Path("token")))
	}

	a.seal(t, "db/new.age", "new")
	harness.Eventually(t, "the new file is listed", func() bool { return slices.Contains(names(t, a.Path("db")), "new") })
	becomes("db/new", "new")
	harness.Eventually(t, "the holder keeps the version of the last file", func() bool { return a.keeps(version("db/new")) })
	a.KillWorker()
	for path, want := range map[string]string{"token": "the token", "renamed": "armored, edited", "db/new": "new"} {
		if got := a.Read(path); got != want {
			t.Errorf("%s, by another worker: got %q", path, got)
		}
	}
	if got := version("token"); got != before || w.count(a.Path("token")) != 0 {
		t.Errorf("by another worker the rekeyed file has version %s, before %s, %d events", got, before, w.count(a.Path("token")))
	}
	if err := os.Remove(a.dir + "/db/new.age"); err != nil {
		t.Fatal(err)
	}
	harness.Eventually(t, "the removed file is gone", func() bool {
		_, err := os.ReadFile(a.Path("db/new"))
		return os.IsNotExist(err) && !slices.Contains(names(t, a.Path("db")), "new")
	})
}

// keeps says whether text is in the state that the holder keeps of an age backend
// for the next worker; the table of nodes has it too.
func (a *agenix) keeps(text string) bool {
	fds, _ := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", a.Status().HolderPID))
	for _, fd := range fds {
		if to, _ := os.Readlink(fd); strings.HasPrefix(to, "/memfd:") {
			if b, err := os.ReadFile(fd); err == nil && bytes.Contains(b, []byte(text)) && bytes.Contains(b, []byte("savedFile")) {
				return true
			}
		}
	}
	return false
}

func mustIdentity(t *testing.T) *age.X25519Identity {
	t.Helper()
	id, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// TestAgeErrors: each file that cannot be had says why, and stands alone.
func TestAgeErrors(t *testing.T) {
	harness.NeedRoot(t)
	need(t, "ssh-keygen")
	a := newAgenix(t, "ed25519")
	a.seal(t, "token.age", "the token")
	a.seal(t, "foreign.age", "x", "-r", mustIdentity(t).Recipient().String())
	a.seal(t, "damaged.age", "x")
	path := a.dir + "/damaged.age"
	file, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	put(t, path, string(file[:len(file)-1])+"\x00")
	put(t, a.dir+"/passphrase.age", scryptFile(t))
	a.Mount.Mount()
	for range 2 {
		for name, want := range map[string]struct {
			errno    syscall.Errno
			sentence string
		}{
			"foreign":    {unix.ENOKEY, "no identity matches: it is encrypted to recipients of type X25519"},
			"damaged":    {unix.EBADMSG, "the content does not decrypt: it was changed, cut short or damaged: damaged or forged"},
			"passphrase": {unix.EOPNOTSUPP, "it is encrypted with a passphrase, and nobody is there to type it: encrypt it to recipients (age -r): not supported"},
			"removed":    {unix.ENOENT, "there is no such file: no such secret"},
		} {
			_, err := os.ReadFile(a.Path(name))
			if got, _ := err.(*os.PathError); got == nil || got.Err != want.errno {
				t.Errorf("%s: got %v, want %v", name, err, want.errno)
			}
			sentence, err := attribute(a.Path(name), "error")
			if full := fmt.Sprintf(`backend "host": reading %s/%s.age: %s`, a.dir, name, want.sentence); err != nil || sentence != full {
				t.Errorf("%s: got %q, %v, want %q", name, sentence, err, full)
			}
			if got := a.Read("token"); got != "the token" {
				t.Errorf("beside %s: got %q", name, got)
			}
		}
	}
	states := map[string]string{}
	for _, s := range a.Status().Secrets {
		states[s.Path] = s.State
	}
	for path, want := range map[string]string{"token": "ready", "foreign": "locked", "damaged": "failed", "passphrase": "failed", "removed": "failed"} {
		if states[path] != want {
			t.Errorf("status says that %s is %s, want %s", path, states[path], want)
		}
	}
	for _, b := range a.Status().Backends {
		if b.Name == "host" && (b.State != "ready" || b.Error != "") {
			t.Errorf("one readable file, and the backend is %s: %s", b.State, b.Error)
		}
	}
}

func scryptFile(t *testing.T) string {
	t.Helper()
	r, err := age.NewScryptRecipient("correct horse")
	if err != nil {
		t.Fatal(err)
	}
	r.SetWorkFactor(4)
	var out bytes.Buffer
	w, err := age.Encrypt(&out, r)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

// TestAgePlugin: a real plugin, in a helper of the mount, opens what the real age
// has encrypted to a post-quantum recipient.
func TestAgePlugin(t *testing.T) {
	harness.NeedRoot(t)
	need(t, "ssh-keygen")
	a := newAgenix(t, "ed25519")
	id, err := age.GenerateHybridIdentity()
	if err != nil {
		t.Fatal(err)
	}
	put(t, a.Root+"/plugin.txt", run(t, id.String(), filepath.Dir(harness.Age(t))+"/age-plugin-pq", "-identity"))
	a.seal(t, "plugin.age", "by a plugin", "-r", id.Recipient().String())
	a.Mount.Mount()
	if got := a.Read("plugin"); got != "by a plugin" {
		t.Errorf("got %q", got)
	}
}

// TestAgeOfUser: a user's own mount, age key and files.
func TestAgeOfUser(t *testing.T) {
	harness.AsUser(t, func(t *testing.T) {
		m := harness.New(t, harness.Options{
			Plain: "a: b\n", NoMount: true,
			Head:   "backends:\n  mine: {type: age, dir: secrets, key_files: [keys.txt]}\n",
			Policy: "directories:\n  \"\": {backend: mine}\n",
		})
		if err := os.MkdirAll(m.Root+"/secrets/sub", 0o700); err != nil {
			t.Fatal(err)
		}
		r, err := age.ParseX25519Recipient(m.Recipient)
		if err != nil {
			t.Fatal(err)
		}
		seal := func(plain string) string {
			var out bytes.Buffer
			w, err := age.Encrypt(&out, r)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := w.Write([]byte(plain)); err != nil {
				t.Fatal(err)
			}
			if err := w.Close(); err != nil {
				t.Fatal(err)
			}
			return out.String()
		}
		put(t, m.Root+"/secrets/sub/a.age", seal("mine"))
		m.Mount()
		if got := m.Read("sub/a"); got != "mine" {
			t.Errorf("got %q", got)
		}
		put(t, m.Root+"/secrets/sub/a.age", seal("mine, edited"))
		harness.Eventually(t, "the edited file is served", func() bool { return m.Read("sub/a") == "mine, edited" })
	})
}
