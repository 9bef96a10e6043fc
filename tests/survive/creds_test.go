package survive

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/secretfs/secretfs/tests/harness"
)

// A credstore is a directory of credentials that the real systemd-creds encrypts,
// with the key of a host that is not this machine.
type credstore struct{ dir string }

func newCredstore(t *testing.T) *credstore {
	t.Helper()
	root := t.TempDir()
	t.Setenv("SYSTEMD_CREDENTIAL_SECRET", root+"/credential.secret")
	s := &credstore{root + "/credstore"}
	if err := os.Mkdir(s.dir, 0o700); err != nil {
		t.Fatal(err)
	}
	s.creds(t, "", "setup")
	return s
}

func (*credstore) creds(t *testing.T, stdin string, args ...string) {
	t.Helper()
	cmd := exec.Command("systemd-creds", args...)
	cmd.Stdin = strings.NewReader(stdin)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("systemd-creds %q: %v\n%s", args, err, out)
	}
}

// seal puts a credential in the place of another at once.
func (s *credstore) seal(t *testing.T, file, plain string, flags ...string) {
	t.Helper()
	next := filepath.Join(s.dir, ".next")
	s.creds(t, plain, append(append([]string{"encrypt", "--with-key=host", "--name=" + file}, flags...), "-", next)...)
	if err := os.Rename(next, filepath.Join(s.dir, file)); err != nil {
		t.Fatal(err)
	}
}

// head is the policy's, with this store as its only backend.
func (s *credstore) head() string {
	return "backends:\n  creds: {type: systemd-creds, path: " + s.dir + "}\n"
}

// TestSystemdCreds reads credentials through a real mount, by the real systemd-creds.
func TestSystemdCreds(t *testing.T) {
	harness.NeedRoot(t)
	s := newCredstore(t)
	s.seal(t, "token.cred", "the token")
	s.seal(t, "wifi", "the passphrase\n")
	s.seal(t, "named.cred", "by another name", "--name=other")
	s.seal(t, "old.cred", "expired", "--timestamp=2019-01-01", "--not-after=2020-01-01")
	m := harness.New(t, harness.Options{
		Plain: "x: y\n", Head: s.head(),
		Policy: "secrets:\n  token: {backend: creds}\n  named: {backend: creds, name: other}\n  wrong: {backend: creds, file: named.cred}\n" +
			"  old: {backend: creds}\n  gone: {backend: creds}\n  unread: {backend: creds, file: wifi}\ndirectories:\n  all: {backend: creds}\n",
	})
	for path, want := range map[string]string{
		"token": "the token", "named": "by another name", "all/token": "the token", "all/wifi": "the passphrase\n",
	} {
		if got := m.Read(path); got != want {
			t.Errorf("%s: got %q, want %q", path, got, want)
		}
		if info, err := os.Stat(m.Path(path)); err != nil || info.Size() != int64(len(want)) {
			t.Errorf("%s: %v, %v, want a size of %d once it is read", path, info, err, len(want))
		}
	}
	if got, want := listed(t, m.Path("all")), []string{"named", "old", "token", "wifi"}; !slices.Equal(got, want) {
		t.Errorf("listed: %v, want %v", got, want)
	}
	for name, c := range map[string]struct {
		errno error
		why   string
	}{
		"wrong": {unix.EKEYREJECTED, "Embedded credential name 'other' does not match filename 'named'"},
		"old":   {unix.EKEYEXPIRED, "Credential's time passed, refusing to use."},
		"gone":  {unix.ENOENT, "there is no file " + s.dir + "/gone.cred and no file " + s.dir + "/gone"},
	} {
		if why, err := errorOf(t, m, name); !errors.Is(err, c.errno) || !strings.Contains(why, c.why) {
			t.Errorf("%s: got %v, %q, want %v, %q", name, err, why, c.errno, c.why)
		}
	}
	m.KillWorker()
	if got := m.Read("token"); got != "the token" {
		t.Errorf("after a kill: %q", got)
	}
	s.seal(t, "token.cred", "a new token")
	harness.Eventually(t, "the new credential is served", func() bool {
		b, _ := os.ReadFile(m.Path("token"))
		return string(b) == "a new token"
	})
	// Without the host's key what was decrypted is served on, and the rest is locked.
	if err := os.Rename(os.Getenv("SYSTEMD_CREDENTIAL_SECRET"), s.dir+"/.away"); err != nil {
		t.Fatal(err)
	}
	if got := m.Read("token"); got != "a new token" {
		t.Errorf("without the key: %q", got)
	}
	if why, err := errorOf(t, m, "unread"); !errors.Is(err, unix.ENOKEY) || !strings.Contains(why, "Failed to determine local credential key") {
		t.Errorf("without the key: %v, %q", err, why)
	}
	m.VerifyAudit()
}

func listed(t *testing.T, dir string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// TestSystemdCredsTPM has a TPM seal the credentials: swtpm's, which is software and
// speaks TPM 2.0. That the helper gets at it says nothing of a device's permissions.
func TestSystemdCredsTPM(t *testing.T) {
	harness.NeedRoot(t)
	stop := startTPM(t)
	s := newCredstore(t)
	s.seal(t, "sealed.cred", "only here", "--with-key=tpm2", "--tpm2-pcrs=7")
	s.seal(t, "both.cred", "here and by the host", "--with-key=host+tpm2", "--tpm2-pcrs=7")
	m := harness.New(t, harness.Options{
		Plain: "x: y\n", Head: s.head(), Policy: "secrets:\n  sealed: {backend: creds, ttl: 0s}\n  both: {backend: creds}\n",
	})
	if got := m.Read("sealed"); got != "only here" {
		t.Errorf("got %q", got)
	}
	stop()
	why, err := errorOf(t, m, "both")
	if !errors.Is(err, unix.ENOKEY) || !strings.Contains(why, "TPM") {
		t.Errorf("without the TPM: %v, %q", err, why)
	}
}

// startTPM starts a TPM and leads systemd-creds to it.
func startTPM(t *testing.T) (stop func()) {
	t.Helper()
	state := t.TempDir()
	ports := freePorts(t)
	cmd := exec.Command("swtpm", "socket", "--tpm2", "--tpmstate", "dir="+state,
		"--server", fmt.Sprintf("type=tcp,port=%d,bindaddr=127.0.0.1", ports[0]), "--ctrl", fmt.Sprintf("type=tcp,port=%d,bindaddr=127.0.0.1", ports[1]),
		"--flags", "not-need-init,startup-clear")
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { defer close(ended); _ = cmd.Wait() }()
	stop = func() {
		_ = cmd.Process.Kill()
		<-ended
	}
	t.Cleanup(stop)
	// Its control port answers without a session, its server has only one.
	harness.Eventually(t, "the TPM runs", func() bool {
		c, err := net.DialTimeout("tcp", fmt.Sprintf("127.0.0.1:%d", ports[1]), time.Second)
		if err == nil {
			c.Close()
		}
		return err == nil
	})
	t.Setenv("SYSTEMD_TPM2_DEVICE", fmt.Sprintf("swtpm:host=127.0.0.1,port=%d", ports[0]))
	return stop
}

// freePorts are two in a row: the client takes the second for control.
func freePorts(t *testing.T) [2]int {
	t.Helper()
	for range 50 {
		first, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		port := first.Addr().(*net.TCPAddr).Port
		second, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port+1))
		first.Close()
		if err == nil {
			second.Close()
			return [2]int{port, port + 1}
		}
	}
	t.Fatal("there are no two free ports in a row")
	return [2]int{}
}
