package survive

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/secretfs/secretfs/tests/harness"
)

// TestCredentials goes through every link of the unlocking chain.
func TestCredentials(t *testing.T) {
	harness.Matrix(t, func(t *testing.T) {
		given := t.TempDir()
		write(t, given+"/passphrase", passphrase+"\n")
		t.Setenv("CREDENTIALS_DIRECTORY", given)
		m := sealed(t, `  file: {type: age, identities: [id], passphrase: {file: pass.txt}}
  line: {type: age, identities: [id], passphrase: {file: creds, key: PASS}}
  systemd: {type: age, identities: [id], passphrase: {credential: passphrase}}
  secret: {type: age, identities: [id], passphrase: {secret: pass}}
  command: {type: age, identities: [id], passphrase: {command: [sh, -c, "echo 'correct horse battery'' staple'"]}}
`, "file", "line", "systemd", "secret", "command")
		write(t, m.Root+"/creds", "USER=me\nexport PASS='"+passphrase+"'\n")
		m.Mount()
		for _, name := range []string{"line", "systemd", "secret", "command"} {
			if b, err := os.ReadFile(m.Path(name)); string(b) != "value of a" {
				t.Errorf("%s: %q, %v\n%s", name, b, err, m.Must("status"))
			}
		}
		secretfsAsked(t, m)
		fileHeals(t, m)
		showsNowhere(t, m)
	})
}

// secretfsAsked looks for the record of secretfs itself reading a secret.
func secretfsAsked(t *testing.T, m *harness.Mount) {
	t.Helper()
	worker := m.Status().WorkerPID
	for _, r := range m.Audit() {
		if r.Path != "pass" {
			continue
		}
		if r.Rule != `credential of backend "secret"` || int(r.PID) != worker || r.Outcome != "allowed" || !strings.HasSuffix(r.Exe, "/secretfs") {
			t.Errorf("recorded %+v", r)
		}
		return
	}
	t.Error("nothing is recorded of secretfs reading a secret for itself")
}

// fileHeals has the file of a credential be wrong in several ways, and then right.
func fileHeals(t *testing.T, m *harness.Mount) {
	t.Helper()
	path := filepath.Join(m.Root, "pass.txt")
	fails := func(want string) {
		t.Helper()
		if why, err := errorOf(t, m, "file"); !errors.Is(err, unix.ENOKEY) || !strings.Contains(why, want) {
			t.Errorf("got %v, %q; want %q in it", err, why, want)
		}
	}
	fails("from file " + path + ": there is no such file")
	write(t, path, passphrase)
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	fails("everybody can read it (mode 0644): chmod 600 " + path)
	if err := os.Chmod(path, 0o600); err != nil {
		t.Fatal(err)
	}
	if got := m.Read("file"); got != "value of a" {
		t.Errorf("mended: got %q", got)
	}
}

// TestCommandRunsAs: as nobody in particular, or as who is named.
func TestCommandRunsAs(t *testing.T) {
	harness.NeedRoot(t)
	dir, err := os.MkdirTemp("", "sfs-command-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	const command = `[sh, -c, "id -u >$0; grep -c NoNewPrivs:.1 /proc/self/status >>$0; echo correct horse battery staple", `
	m := sealed(t, "  own: {type: age, identities: [id], passphrase: {command: "+command+dir+"/own]}}\n"+
		"  named: {type: age, identities: [id], passphrase: {command: "+command+dir+"/named], user: nobody}}\n"+
		"  unknown: {type: age, identities: [id], passphrase: {command: "+command+dir+"/unknown], user: nosuchuser}}\n", "own", "named", "unknown")
	m.Mount()
	for name, least := range map[string]int{"own": 1_900_000_000, "named": 65534} {
		if b, err := os.ReadFile(m.Path(name)); string(b) != "value of a" {
			t.Errorf("%s: %q, %v\n%s", name, b, err, m.Must("status"))
			continue
		}
		said, err := os.ReadFile(dir + "/" + name)
		if err != nil {
			t.Fatal(err)
		}
		fields := strings.Fields(string(said))
		if uid, _ := strconv.Atoi(fields[0]); uid < least || least == 65534 && uid != least || fields[1] != "1" {
			t.Errorf("%s ran as %q", name, fields)
		}
	}
	if why, err := errorOf(t, m, "unknown"); !errors.Is(err, unix.ENOKEY) || !strings.Contains(why, `no user "nosuchuser"`) {
		t.Errorf("as nobody known: %v, %q", err, why)
	}
}
