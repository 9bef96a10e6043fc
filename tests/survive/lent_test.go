package survive

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/secretfs/secretfs/tests/harness"
)

// TestLentToken has the token for Vault's transit engine come from another secret of
// the same policy. It is nowhere but in what secretfs-keys is asked.
func TestLentToken(t *testing.T) {
	harness.NeedRoot(t)
	var m *harness.Mount
	asked := 0
	vault := transit(t, func() {
		asked++
		pid := childNamed(t, m.Status().HolderPID, "secretfs-keys")
		for _, name := range []string{"environ", "cmdline"} {
			if b, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", pid, name)); err != nil || strings.Contains(string(b), "t0ken") {
				t.Errorf("%s of secretfs-keys: %v, and the token may be in it", name, err)
			}
		}
	})
	m = harness.New(t, harness.Options{
		Plain: "vault: t0ken\n", NoMount: true,
		Head: "backends:\n  main: {type: sops, file: secrets.yaml, age: {key_files: [keys.txt]}}\n" +
			"  far: {type: sops, file: far.yaml, vault: {address: " + vault + ", token: {secret: vault}}}\n" +
			"  none: {type: sops, file: far.yaml, vault: {address: " + vault + ", token: {file: no-such-file}}}\n",
		Policy: "secrets:\n  vault: {backend: main}\n  far: {backend: far, key: a}\n  none: {backend: none, key: a}\n",
	})
	own, err := os.ReadFile(m.Secrets)
	if err != nil {
		t.Fatal(err)
	}
	encryptedFor(t, m, []string{"VAULT_TOKEN=t0ken"}, "--hc-vault-transit", vault+"/v1/transit/keys/k")
	if err := os.Rename(m.Secrets, m.Root+"/far.yaml"); err != nil {
		t.Fatal(err)
	}
	write(t, m.Secrets, string(own))
	m.Mount()
	if got := m.Read("far"); got != "helped" || asked == 0 {
		t.Errorf("got %q, asked %d times", got, asked)
	}
	why, err := errorOf(t, m, "none")
	if !errors.Is(err, unix.ENOKEY) || !strings.Contains(why, "getting the token from file "+m.Root+"/no-such-file") {
		t.Errorf("without the token's file: %v, %q", err, why)
	}
	environ, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", m.Status().WorkerPID))
	if err != nil || strings.Contains(string(environ), "t0ken") {
		t.Errorf("the worker has the token in its environment: %v", err)
	}
	m.KillWorker()
	if got := m.Read("far"); got != "helped" {
		t.Errorf("after a kill: %q", got)
	}
}

// TestKeyService has sops' own key service open a file, with keys that no part of
// secretfs has. It runs as another user, to whom its socket belongs.
func TestKeyService(t *testing.T) {
	harness.NeedRoot(t)
	u := harness.OrdinaryUser(t)
	dir, err := os.MkdirTemp("", "ks") // a socket has a short path
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := errors.Join(os.Chmod(dir, 0o700), os.Chown(dir, int(u.UID), int(u.GID))); err != nil {
		t.Fatal(err)
	}
	socket := filepath.Join(dir, "s")
	m := harness.New(t, harness.Options{
		Plain: "a: by the service\n", NoMount: true, Policy: "secrets:\n  a: {backend: main}\n",
		Head: "backends:\n  main: {type: sops, file: secrets.yaml, keyservice: unix://" + socket + "}\n",
	})
	identity, err := os.ReadFile(m.Keys)
	if err == nil {
		err = os.Remove(m.Keys)
	}
	if err != nil {
		t.Fatal(err)
	}
	m.Mount()
	why, err := errorOf(t, m, "a")
	if !errors.Is(err, unix.EHOSTUNREACH) || !strings.Contains(why, "there is no key service at "+socket) {
		t.Errorf("without the service: %v, %q", err, why)
	}
	service := exec.Command(publicSops(t, dir), "--disable-version-check", "keyservice", "--network", "unix", "--address", socket)
	service.Env = []string{"SOPS_AGE_KEY=" + strings.TrimSpace(string(identity)), "HOME=" + dir, "PATH=" + os.Getenv("PATH")}
	service.SysProcAttr, service.Dir = asUser(u), "/"
	if err := service.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = service.Process.Kill()
		_ = service.Wait()
	})
	harness.Eventually(t, "the key service listens", func() bool {
		c, err := net.Dial("unix", socket)
		if err == nil {
			c.Close()
		}
		return err == nil
	})
	m.Must("refresh")
	if got := m.Read("a"); got != "by the service" {
		t.Errorf("got %q", got)
	}
}

// publicSops is sops where everybody may run it.
func publicSops(t *testing.T, dir string) string {
	t.Helper()
	program, err := os.ReadFile(harness.Sops(t))
	if err == nil {
		err = os.WriteFile(dir+"/sops", program, 0o755)
	}
	if err == nil {
		err = os.Chmod(dir+"/sops", 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
	return dir + "/sops"
}
