package vault

import (
	"bytes"
	"fmt"
	"net/http"
	"os"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/secretfs/secretfs/tests/harness"
	"github.com/secretfs/secretfs/tests/vaultd"
)

// TestManyListed lists 10,000 secrets, of which no value is fetched.
func TestManyListed(t *testing.T) {
	harness.NeedRoot(t)
	const n = 10_000
	s := newServer(t)
	fill(t, s, n)
	m := mounted(t, s.Address, "{method: token_file, file: token}", "directories:\n  many: {backend: vault, prefix: kv/many, field: key}\n", map[string]string{"token": s.Token(t, nil, "app")})
	best := time.Hour
	for range 3 {
		start := time.Now()
		entries, err := os.ReadDir(m.Path("many"))
		took := time.Since(start)
		if err != nil || len(entries) != n {
			t.Fatalf("%d entries, %v, after %s", len(entries), err, took)
		}
		t.Logf("%d entries in %s", n, took)
		best = min(best, took)
	}
	if best > time.Second {
		t.Errorf("listing takes %s", best)
	}
	if reads := s.Requests(t, "kv/many/") - n; reads != 1 {
		t.Errorf("%d requests for a listing", reads)
	}
	if got := m.Read("many/k1234"); got != "value 1234" {
		t.Errorf("got %q", got)
	}
}

func fill(t *testing.T, s *vaultd.Server, n int) {
	t.Helper()
	numbers := make(chan int)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for i := range numbers {
				req, err := http.NewRequest("POST", fmt.Sprintf("%s/v1/kv/many/k%d", s.Address, i), bytes.NewReader(fmt.Appendf(nil, `{"key":"value %d"}`, i)))
				if err != nil {
					t.Error(err)
					return
				}
				req.Header.Set("X-Vault-Token", vaultd.Root)
				resp, err := http.DefaultClient.Do(req)
				if err != nil {
					t.Error(err)
					return
				}
				resp.Body.Close()
			}
		})
	}
	for i := range n {
		numbers <- i
	}
	close(numbers)
	wg.Wait()
}

// TestOneHangs: while the server does not answer, the secrets of another backend
// are read as ever; those that were read before are served after the deadline.
func TestOneHangs(t *testing.T) {
	harness.NeedRoot(t)
	s := newServer(t)
	way := vaultd.Through(t, s.Address)
	policy := "secrets:\n  sops: {backend: main, key: vault-password}\n  db: {backend: vault, path: secret/db, field: USER}\n  old: {backend: vault, path: kv/old, field: key}\n"
	m := mounted(t, way.Address, "{method: token_file, file: token}", policy, map[string]string{"token": s.Token(t, nil, "app")})
	m.Read("sops")
	m.Read("db")
	way.Stall(t)
	done := make(chan struct{})
	go func() {
		defer close(done)
		fails(t, m, "old", unix.ETIMEDOUT, "no answer")
	}()
	var slowest time.Duration
	for range 200 {
		start := time.Now()
		m.Read("sops")
		slowest = max(slowest, time.Since(start))
	}
	t.Logf("the slowest of 200 reads took %s", slowest)
	if slowest > time.Second {
		t.Errorf("a read of another backend took %s", slowest)
	}
	<-done
	if got := m.Read("db"); got != "app" {
		t.Errorf("got %q", got)
	}
	way.Mend(t)
	harness.Eventually(t, "it is read again", func() bool {
		got, err := os.ReadFile(m.Path("old"))
		return err == nil && string(got) == "of version 1"
	})
}

// TestFaults has what happens to a server, each with errno and sentence, and its end.
func TestFaults(t *testing.T) {
	harness.NeedRoot(t)
	s := newServer(t)
	way := vaultd.Through(t, s.Address)
	way.Cut()
	policy := "secrets:\n  old: {backend: vault, path: kv/old, field: key}\n  db: {backend: vault, path: secret/db, field: USER}\n"
	first := s.Token(t, nil, "app")
	m := mounted(t, way.Address, "{method: token_file, file: token}", policy, map[string]string{"token": first})
	heals := func(name, want string) {
		t.Helper()
		harness.Eventually(t, name+" is read again", func() bool {
			got, err := os.ReadFile(m.Path(name))
			return err == nil && string(got) == want
		})
	}
	fails(t, m, "old", unix.EHOSTUNREACH, "nothing listens on")
	way.Mend(t)
	heals("old", "of version 1")
	s.Do(t, "PUT", "sys/seal", nil)
	fails(t, m, "db", unix.EHOSTUNREACH, "the server is sealed")
	if got := m.Read("old"); got != "of version 1" {
		t.Errorf("a sealed server takes away what was read: %q", got)
	}
	s.Do(t, "PUT", "sys/unseal", map[string]string{"key": s.UnsealKey})
	heals("db", "app")
	s.Do(t, "POST", "auth/token/revoke", map[string]string{"token": first})
	harness.Eventually(t, "the revoked token is noticed", func() bool {
		_, err := os.ReadFile(m.Path("db"))
		return err != nil
	})
	fails(t, m, "db", unix.EKEYREJECTED, "the token is unknown to the server: it was revoked, or has run out")
	write(t, m.Root+"/token", s.Token(t, nil, "app"))
	heals("db", "app")
	s.Policy(t, "app", "kv/* read")
	harness.Eventually(t, "the withdrawn permission is noticed", func() bool {
		_, err := os.ReadFile(m.Path("db"))
		return err != nil
	})
	fails(t, m, "db", unix.EKEYREJECTED, "no policy of it (app, default) allows to read secret/data/db")
	heals("old", "of version 1")
	s.Policy(t, "app", "kv/* read", "secret/data/* read")
	heals("db", "app")
}
