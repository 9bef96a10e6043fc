package survive

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/secretfs/secretfs/tests/harness"
)

// TestVaultTokenStaysHome: a file that names a server of its own choice gets
// no token sent there.
func TestVaultTokenStaysHome(t *testing.T) {
	harness.NeedRoot(t)
	var strayed atomic.Int32
	elsewhere := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		strayed.Add(1)
		http.Error(w, "{}", http.StatusForbidden)
	}))
	t.Cleanup(elsewhere.Close)
	vault := transit(t, func() {})
	t.Setenv("VAULT_TOKEN", "t0ken")
	m := harness.New(t, harness.Options{
		Plain: "x: y\n", NoMount: true,
		Head: "backends:\n  unnamed: {type: sops, file: secrets.yaml}\n" +
			"  stray: {type: sops, file: stray.yaml, vault: {addresses: [" + vault + "]}}\n" +
			"  named: {type: sops, file: secrets.yaml, vault: {addresses: [" + vault + "]}}\n",
		Policy: "secrets:\n  unnamed: {backend: unnamed, key: a}\n  stray: {backend: stray, key: a}\n  named: {backend: named, key: a}\n",
	})
	encryptedFor(t, m, nil, "--hc-vault-transit", vault+"/v1/transit/keys/k")
	b, err := os.ReadFile(m.Secrets)
	if err != nil || !strings.Contains(string(b), vault) {
		t.Fatalf("%v\n%s", err, b)
	}
	write(t, m.Root+"/stray.yaml", strings.ReplaceAll(string(b), vault, elsewhere.URL))
	m.Mount()
	for _, name := range []string{"unnamed", "stray"} {
		why, err := errorOf(t, m, name)
		if !errors.Is(err, unix.EKEYREJECTED) || !strings.Contains(why, "no Vault token goes to a server that only the file names: name it in vault: {addresses} of the backend, or in VAULT_ADDR") {
			t.Errorf("%s: got %v, %q", name, err, why)
		}
	}
	if n := strayed.Load(); n != 0 {
		t.Errorf("the other server was asked %d times", n)
	}
	if got := m.Read("named"); got != "helped" {
		t.Errorf("got %q", got)
	}
}
