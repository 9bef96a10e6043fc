package survive

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"filippo.io/age"
	"filippo.io/age/plugin"
	"golang.org/x/sys/unix"

	"github.com/secretfs/secretfs/tests/harness"
)

// pluginName is the age plugin that the test binary is under that name.
const pluginName = "survive"

func runPlugin() int {
	p, err := plugin.New(pluginName)
	if err != nil {
		return 1
	}
	p.HandleRecipient(func([]byte) (age.Recipient, error) { return token{}, nil })
	p.HandleIdentity(func(data []byte) (age.Identity, error) { return token{string(data)}, nil })
	return p.Main()
}

// A token stands for a piece of hardware. Opening a file key writes to a trace,
// as some plugins keep state: what the kernel says of the plugin's process. It
// takes for as long as there is a file "hold" beside the trace.
type token struct{ trace string }

func (token) Wrap(key []byte) ([]*age.Stanza, error) {
	return []*age.Stanza{{Type: pluginName, Body: key}}, nil
}

func (k token) Unwrap(stanzas []*age.Stanza) ([]byte, error) {
	for _, name := range []string{"limits", "environ", "mountinfo", "status"} {
		said, err := os.ReadFile("/proc/self/" + name)
		if err == nil {
			err = os.WriteFile(k.trace+"."+name, said, 0o600)
		}
		if err != nil {
			return nil, err
		}
	}
	if _, err := os.Stat(k.hold()); err == nil {
		child := exec.Command("sleep", "3600")
		if err := child.Start(); err != nil {
			return nil, err
		}
		if err := os.WriteFile(k.trace+".child", fmt.Append(nil, child.Process.Pid), 0o600); err != nil {
			return nil, err
		}
	}
	for {
		if _, err := os.Stat(k.hold()); err != nil {
			return stanzas[0].Body, nil
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func (k token) hold() string { return filepath.Join(filepath.Dir(k.trace), "hold") }

// encryptedFor is a document that sops encrypts with the options args.
func encryptedFor(t *testing.T, m *harness.Mount, env []string, args ...string) {
	t.Helper()
	in := filepath.Join(m.Root, "plain.yaml")
	if err := os.WriteFile(in, []byte("a: helped\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	defer os.Remove(in)
	cmd := exec.Command(harness.Sops(t), append(append([]string{"--disable-version-check", "--config", "/dev/null", "encrypt"}, args...), in)...)
	cmd.Env = append(os.Environ(), env...)
	var said strings.Builder
	cmd.Stderr = &said
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("sops: %v\n%s", err, said.String())
	}
	replace(t, m.Secrets, string(out))
}

// helped mounts what prepare has encrypted; settings are those of the backend.
// The worker has to be locked up while its helper is not.
func helped(t *testing.T, settings string, prepare func(m *harness.Mount)) *harness.Mount {
	t.Helper()
	m := harness.New(t, harness.Options{
		Plain: "x: y\n", NoMount: true, Policy: "secrets:\n  a: {backend: main}\n",
		Head: "backends:\n  main: {type: sops, file: secrets.yaml, " + settings + "}\n",
	})
	prepare(m)
	m.Mount()
	if got := m.Read("a"); got != "helped" {
		t.Errorf("got %q", got)
	}
	proc := fmt.Sprintf("/proc/%d", m.Status().WorkerPID)
	lockedMounts(t, m, proc)
	if got := field(t, proc, "NoNewPrivs"); got != "1" {
		t.Errorf("the worker's NoNewPrivs is %s", got)
	}
	m.KillWorker()
	if got := m.Read("a"); got != "helped" {
		t.Errorf("after a kill: %q", got)
	}
	return m
}

func TestAgePluginIsHelper(t *testing.T) {
	dir := pluginFolder(t)
	trace := dir + "/trace"
	helped(t, fmt.Sprintf("age: {key_files: [keys.txt], plugins_path: %s}", dir), func(m *harness.Mount) {
		encryptedForPlugin(t, m, dir)
		write(t, m.Keys, plugin.EncodeIdentity(pluginName, []byte(trace))+"\n")
	})
	if b, err := os.ReadFile(trace + ".status"); err != nil || !strings.Contains(string(b), "NoNewPrivs:\t1") {
		t.Errorf("the plugin's own status: %v\n%s", err, b)
	}
}

// pluginFolder has the test binary in it under the plugin's name. Everybody may
// run it, and write to the folder.
func pluginFolder(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "sfs-plugin-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	self, err := os.ReadFile("/proc/self/exe")
	if err == nil {
		err = os.WriteFile(dir+"/age-plugin-"+pluginName, self, 0o755)
	}
	if err := errors.Join(err, os.Chmod(dir, 0o777)); err != nil {
		t.Fatal(err)
	}
	return dir
}

func encryptedForPlugin(t *testing.T, m *harness.Mount, dir string) {
	t.Helper()
	encryptedFor(t, m, []string{"PATH=" + dir + ":" + os.Getenv("PATH")}, "--age", plugin.EncodeRecipient(pluginName, nil))
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestGPGIsHelper(t *testing.T) {
	home, fingerprint := gpgHome(t, harness.User{})
	helped(t, "gnupg: {home: "+home+"}", func(m *harness.Mount) {
		encryptedFor(t, m, []string{"GNUPGHOME=" + home}, "--pgp", fingerprint)
	})
}

// gpgHome is u's GnuPG home with one key.
func gpgHome(t *testing.T, u harness.User) (home, fingerprint string) {
	t.Helper()
	home, err := os.MkdirTemp("", "gpg") // gpg-agent's socket has a short path
	if err == nil {
		err = os.Chown(home, int(u.UID), int(u.GID))
	}
	if err != nil {
		t.Fatal(err)
	}
	gpg := func(name string, args ...string) string {
		cmd := exec.Command(name, args...)
		cmd.Env = []string{"GNUPGHOME=" + home, "PATH=" + os.Getenv("PATH")}
		cmd.SysProcAttr = asUser(u)
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Errorf("%s %q: %v\n%s", name, args, err, out)
		}
		return string(out)
	}
	t.Cleanup(func() {
		gpg("gpgconf", "--kill", "all")
		os.RemoveAll(home)
	})
	gpg("gpg", "--batch", "--passphrase", "", "--quick-generate-key", "survive@example.org", "future-default", "default", "never")
	_, rest, _ := strings.Cut(gpg("gpg", "--with-colons", "--list-keys"), "fpr:::::::::")
	fingerprint, _, _ = strings.Cut(rest, ":")
	gpg("gpgconf", "--kill", "all") // the agent is for the helper to start
	return home, fingerprint
}

// TestTransitIsHelper has secretfs-keys ask for the data key, with a credential
// that only the holder's environment has. It reads what the kernel says of
// secretfs-keys while that waits for its answer.
func TestTransitIsHelper(t *testing.T) {
	const keysUIDs = 1_900_000_000
	var m *harness.Mount
	asked := 0
	vault := transit(t, func() {
		asked++
		pid := childNamed(t, m.Status().HolderPID, "secretfs-keys")
		if pid == 0 {
			t.Error("secretfs-keys is no child of the holder")
			return
		}
		proc := fmt.Sprintf("/proc/%d", pid)
		var uid int
		if _, err := fmt.Sscan(field(t, proc, "Uid"), &uid); err != nil || uid < keysUIDs {
			t.Errorf("secretfs-keys runs as uid %s", field(t, proc, "Uid"))
		}
		reads := fmt.Sprintf("%016x", 1<<unix.CAP_DAC_READ_SEARCH)
		confined(t, proc, reads)
		environ, err := os.ReadFile(proc + "/environ")
		if err != nil || !strings.Contains(string(environ), "VAULT_TOKEN=t0ken") || strings.Contains(string(environ), "SOPS_AGE_KEY") {
			t.Errorf("the environment of secretfs-keys: %v", err)
		}
		onlySocket(t, proc)
	})
	t.Setenv("VAULT_TOKEN", "t0ken")
	t.Setenv("VAULT_ADDR", vault)
	t.Setenv("SOPS_AGE_KEY", "none of its business")
	m = helped(t, "age: {key_files: [keys.txt]}", func(got *harness.Mount) {
		m = got
		encryptedFor(t, m, nil, "--hc-vault-transit", vault+"/v1/transit/keys/k")
	})
	if asked == 0 {
		t.Error("nobody asked the server")
	}
	environ, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", m.Status().WorkerPID))
	if err != nil || strings.Contains(string(environ), "t0ken") {
		t.Errorf("the worker has the credential in its environment: %v", err)
	}
}

// transit is a server with Vault's transit engine. asked is called before it
// answers a request to decrypt.
func transit(t *testing.T, asked func()) (url string) {
	t.Helper()
	var mu sync.Mutex
	var sealed []string
	vault := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		var in struct{ Plaintext, Ciphertext string }
		if err := json.NewDecoder(r.Body).Decode(&in); err != nil || r.Header.Get("X-Vault-Token") != "t0ken" {
			http.Error(w, "{}", http.StatusForbidden)
			return
		}
		out := map[string]string{}
		if strings.Contains(r.URL.Path, "/encrypt/") {
			sealed = append(sealed, in.Plaintext)
			out["ciphertext"] = fmt.Sprintf("vault:v1:%d", len(sealed)-1)
		} else {
			asked()
			var i int
			_, _ = fmt.Sscanf(in.Ciphertext, "vault:v1:%d", &i)
			out["plaintext"] = sealed[i]
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"data": out})
	}))
	t.Cleanup(vault.Close)
	return vault.URL
}
