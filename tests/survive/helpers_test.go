package survive

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"filippo.io/age"
	"filippo.io/age/plugin"

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
// as some plugins keep state.
type token struct{ trace string }

func (token) Wrap(key []byte) ([]*age.Stanza, error) {
	return []*age.Stanza{{Type: pluginName, Body: key}}, nil
}

func (k token) Unwrap(stanzas []*age.Stanza) ([]byte, error) {
	status, err := os.ReadFile("/proc/self/status")
	if err == nil {
		err = os.WriteFile(k.trace, status, 0o600)
	}
	if err != nil {
		return nil, err
	}
	return stanzas[0].Body, nil
}

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
	dir := t.TempDir()
	self, err := os.Executable()
	if err == nil {
		err = os.Symlink(self, dir+"/age-plugin-"+pluginName)
	}
	if err != nil {
		t.Fatal(err)
	}
	trace := dir + "/trace"
	helped(t, fmt.Sprintf("age: {key_files: [keys.txt], plugins_path: %s}", dir), func(m *harness.Mount) {
		recipient := plugin.EncodeRecipient(pluginName, nil)
		encryptedFor(t, m, []string{"PATH=" + dir + ":" + os.Getenv("PATH")}, "--age", recipient)
		if err := os.WriteFile(m.Keys, []byte(plugin.EncodeIdentity(pluginName, []byte(trace))+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	})
	if b, err := os.ReadFile(trace); err != nil || !strings.Contains(string(b), "NoNewPrivs:\t0") {
		t.Errorf("the plugin's own status: %v\n%s", err, b)
	}
}

func TestGPGIsHelper(t *testing.T) {
	if _, err := exec.LookPath("gpg"); err != nil {
		t.Skip("gpg is not installed")
	}
	home, err := os.MkdirTemp("", "gpg") // gpg-agent's socket has a short path
	if err != nil {
		t.Fatal(err)
	}
	env := []string{"GNUPGHOME=" + home}
	gpg := func(name string, args ...string) {
		cmd := exec.Command(name, args...)
		cmd.Env = append(os.Environ(), env...)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%s %q: %v\n%s", name, args, err, out)
		}
	}
	t.Cleanup(func() {
		gpg("gpgconf", "--kill", "all")
		os.RemoveAll(home)
	})
	gpg("gpg", "--batch", "--passphrase", "", "--quick-generate-key", "survive@example.org", "future-default", "default", "never")
	out, err := exec.Command("gpg", "--homedir", home, "--with-colons", "--list-keys").Output()
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(out), "fpr:::::::::")
	fingerprint, _, _ := strings.Cut(rest, ":")
	helped(t, "gnupg: {home: "+home+"}", func(m *harness.Mount) { encryptedFor(t, m, env, "--pgp", fingerprint) })
}

// TestTransitIsHelper has secretfs-keys ask for the data key, with a credential
// that only the holder's environment has.
func TestTransitIsHelper(t *testing.T) {
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
			var i int
			_, _ = fmt.Sscanf(in.Ciphertext, "vault:v1:%d", &i)
			out["plaintext"] = sealed[i]
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"data": out})
	}))
	t.Cleanup(vault.Close)
	t.Setenv("VAULT_TOKEN", "t0ken")
	t.Setenv("VAULT_ADDR", vault.URL)
	m := helped(t, "age: {key_files: [keys.txt]}", func(m *harness.Mount) {
		encryptedFor(t, m, nil, "--hc-vault-transit", vault.URL+"/v1/transit/keys/k")
	})
	environ, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", m.Status().WorkerPID))
	if err != nil || strings.Contains(string(environ), "t0ken") {
		t.Errorf("the worker has the credential in its environment: %v", err)
	}
}
