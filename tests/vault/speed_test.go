package vault

import (
	"io"
	"net/http"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/secretfs/secretfs/tests/harness"
)

// TestSpeed: a read that has to ask costs about one request, one that need not ask
// what a read of a sops secret costs. The bounds are wide, machines are busy.
func TestSpeed(t *testing.T) {
	harness.NeedRoot(t)
	s := newServer(t)
	token := s.Token(t, nil, "app")
	m := mounted(t, s.Address, "{method: token_file, file: token}", "secrets:\n  sops: {backend: main, key: vault-password}\n"+
		"  cold: {backend: vault, path: secret/db, field: USER, ttl: 0s}\n  warm: {backend: vault, path: secret/db, field: PASSWORD, ttl: 1h}\n",
		map[string]string{"token": token})
	request := median(t, func() error {
		req, err := http.NewRequest("GET", s.Address+"/v1/secret/data/db", nil)
		if err != nil {
			return err
		}
		req.Header.Set("X-Vault-Token", token)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		_, err = io.Copy(io.Discard, resp.Body)
		return err
	})
	read := func(name string) time.Duration {
		return median(t, func() error {
			_, err := os.ReadFile(m.Path(name))
			return err
		})
	}
	cold, warm, sops := read("cold"), read("warm"), read("sops")
	t.Logf("request %s, cold %s, warm %s, sops %s", request, cold, warm, sops)
	if cold > 3*request+2*time.Millisecond {
		t.Errorf("a cold read takes %s, a request %s", cold, request)
	}
	if warm > 3*sops+time.Millisecond {
		t.Errorf("a warm read takes %s, of a sops secret %s", warm, sops)
	}
}

func median(t *testing.T, f func() error) time.Duration {
	t.Helper()
	took := make([]time.Duration, 200)
	for i := range took {
		start := time.Now()
		if err := f(); err != nil {
			t.Fatal(err)
		}
		took[i] = time.Since(start)
	}
	slices.Sort(took)
	return took[len(took)/2]
}
