package kernel

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/secretfs/secretfs/tests/harness"
)

// A file that .sops.yaml encrypts to a person and a host is served with the key of
// either; `sops updatekeys` to other recipients changes neither value nor version,
// so that nothing restarts.
func TestSopsRecipients(t *testing.T) {
	m := harness.New(t, harness.Options{
		Plain: "token: of the first\n", NoMount: true,
		Head:   "backends:\n  main: {type: sops, file: shared.yaml, age: {key_files: [keys.txt]}}\n",
		Policy: "secrets:\n  token: {backend: main}\n",
	})
	person, config, file := m.Root+"/person.txt", m.Root+"/.sops.yaml", m.Root+"/shared.yaml"
	recipient := identityFile(t, person)
	rules := func(recipients ...string) {
		t.Helper()
		text := fmt.Sprintf("creation_rules:\n  - {path_regex: shared.yaml$, age: %q}\n", strings.Join(recipients, ","))
		if err := os.WriteFile(config, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	rules(recipient, m.Recipient)
	if err := os.WriteFile(file, []byte("token: for two\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	runSops(t, config, person, "encrypt", "--in-place", file)
	m.Mount()
	version := func() string {
		t.Helper()
		buf := make([]byte, 64)
		n, err := unix.Getxattr(m.Path("token"), "user.secretfs.version", buf)
		if err != nil {
			t.Fatal(err)
		}
		return string(buf[:n])
	}
	if got := m.Read("token"); got != "for two" {
		t.Fatalf("with the host's key: got %q", got)
	}
	before := version()

	third := identityFile(t, m.Root+"/third.txt")
	rules(recipient, m.Recipient, third)
	runSops(t, config, person, "updatekeys", "--yes", file)
	if text, err := os.ReadFile(file); err != nil || !strings.Contains(string(text), third) {
		t.Fatalf("sops updatekeys has not added a recipient: %v", err)
	}
	m.Must("refresh")
	if got, now := m.Read("token"), version(); got != "for two" || now != before {
		t.Errorf("after updatekeys: got %q, version %s, want %s", got, now, before)
	}

	if err := os.Rename(m.Root+"/third.txt", m.Keys); err != nil {
		t.Fatal(err)
	}
	m.Must("umount")
	m.Mount()
	if got := m.Read("token"); got != "for two" {
		t.Errorf("with the key that was added: got %q", got)
	}
}

// identityFile makes a key file and gives its recipient.
func identityFile(t *testing.T, path string) (recipient string) {
	t.Helper()
	id := mustIdentity(t)
	if err := os.WriteFile(path, []byte(id.String()+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return id.Recipient().String()
}

// runSops runs sops as the person whose key file that is.
func runSops(t *testing.T, config, keys string, args ...string) {
	t.Helper()
	cmd := exec.Command(harness.Sops(t), append([]string{"--disable-version-check", "--config", config}, args...)...)
	cmd.Env = append(os.Environ(), "SOPS_AGE_KEY_FILE="+keys)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("sops %v: %v\n%s", args, err, out)
	}
}
