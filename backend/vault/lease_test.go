package vault_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/secretfs/secretfs/backend"
	"github.com/secretfs/secretfs/tests/vaultd"
)

const (
	dbUser     = "{path: database/creds/short, field: username}"
	dbPassword = "{path: database/creds/short, field: password}"
)

// account reads an account that the database gives out, all of it at once, since it
// may be replaced at any moment. It must work.
func (p *place) account(db *vaultd.Postgres) (user string) {
	p.t.Helper()
	whole, _, err := p.get("{path: database/creds/short}")
	must(p.t, err)
	var a struct{ Username, Password string }
	must(p.t, json.Unmarshal([]byte(whole), &a))
	if got, err := db.Query(p.t, a.Username, a.Password, "select current_user"); err != nil || got != a.Username {
		p.t.Fatalf("the account %s does not work: %q, %v", a.Username, got, err)
	}
	return a.Username
}

// accounts counts the accounts that were given out and are still there.
func accounts(t *testing.T, db *vaultd.Postgres) string {
	t.Helper()
	n, err := db.Query(t, "postgres", "", "select count(*) from pg_roles where rolname like 'v-%'")
	must(t, err)
	return n
}

// eventually waits for what the server does in its own time.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(15 * time.Second); !ok(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("not in time: " + what)
		}
	}
}

func TestOneLeaseForAllFields(t *testing.T) {
	t.Parallel()
	s, db := vaultd.Start(t, ""), vaultd.StartPostgres(t)
	s.Database(t, db, "short", "1h", "2h")
	p := open(t, s.Address, byToken, asRoot())
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			_, _, err := p.get([]string{dbUser, dbPassword}[i%2])
			if err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	user := p.account(db)
	p.reads(dbUser, user)
	password, _, err := p.get(dbPassword)
	must(t, err)
	if _, err := db.Query(t, user, password, "select 1"); err != nil {
		t.Errorf("user and password are of two leases: %v", err)
	}
	if _, err := db.Query(t, user, "x", "select 1"); err == nil {
		t.Fatal("the database takes any password")
	}
	only, err := p.Get(limited(t), key(t, dbPassword))
	must(t, err)
	defer only.Value.Destroy()
	if !only.Fleeting {
		t.Error("what a lease gives may be kept over a reboot")
	}
	if n := s.Requests(t, "database/creds/"); n != 1 {
		t.Errorf("%d leases were asked for", n)
	}
	p.next()
	if again := p.account(db); again != user {
		t.Error("the next process has another account")
	}
	if n := s.Requests(t, "database/creds/"); n != 1 {
		t.Errorf("%d leases were asked for", n)
	}
	must(t, p.Lock(limited(t)))
	eventually(t, "the account is gone", func() bool { return accounts(t, db) == "0" })
}

// TestLeaseIsKeptUp: over renewals, and then over the maximum of a lease, the
// account that is served works at every moment.
func TestLeaseIsKeptUp(t *testing.T) {
	t.Parallel()
	s, db := vaultd.Start(t, ""), vaultd.StartPostgres(t)
	s.Database(t, db, "short", "6s", "12s")
	p := open(t, s.Address, byToken, asRoot())
	users := map[string]bool{}
	for end := time.Now().Add(18 * time.Second); time.Now().Before(end); time.Sleep(300 * time.Millisecond) {
		users[p.account(db)] = true
	}
	if renewals, issued := s.Requests(t, "sys/leases/renew"), s.Requests(t, "database/creds/"); renewals < 2 || issued < 2 || issued > 5 || len(users) != issued {
		t.Errorf("%d renewals, %d leases, %d accounts", renewals, issued, len(users))
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.told < len(users)-1 {
		t.Errorf("%d accounts were replaced, watchers were told %d times", len(users)-1, p.told)
	}
}

// TestServerLostAndLeaseOver: what the lease gave is served to its end, not longer.
func TestServerLostAndLeaseOver(t *testing.T) {
	t.Parallel()
	s, db := vaultd.Start(t, ""), vaultd.StartPostgres(t)
	s.Database(t, db, "short", "3s", "1h")
	way := vaultd.Through(t, s.Address)
	p := open(t, way.Address, byToken, asRoot())
	user := p.account(db)
	way.Cut()
	if again := p.account(db); again != user {
		t.Error("another account, without a server")
	}
	time.Sleep(3200 * time.Millisecond)
	p.fails(dbUser, backend.ErrExpired, "the lease ran out at 2")
	p.fails(dbUser, backend.ErrExpired, "nothing listens on")
	way.Mend(t)
	eventually(t, "another account", func() bool { _, _, err := p.get(dbUser); return err == nil })
	if again := p.account(db); again == user {
		t.Error("the account is the old one")
	}
}

func TestLeaseRevokedByTheServer(t *testing.T) {
	t.Parallel()
	s, db := vaultd.Start(t, ""), vaultd.StartPostgres(t)
	s.Database(t, db, "short", "3s", "1h")
	p := open(t, s.Address, byToken, asRoot())
	user := p.account(db)
	s.Do(t, "POST", "sys/leases/revoke-prefix/database/creds", nil)
	must(t, p.Refresh(limited(t)))
	if again := p.account(db); again == user {
		t.Error("refresh did not notice")
	}
	user = p.account(db)
	s.Do(t, "POST", "sys/leases/revoke-prefix/database/creds", nil)
	eventually(t, "renewing finds it out", func() bool { now, _, err := p.get(dbUser); return err == nil && now != user })
	p.account(db)
}

// TestLeaseOfAnotherToken: the leases of a token end with it, so that a new login
// replaces them.
func TestLeaseOfAnotherToken(t *testing.T) {
	t.Parallel()
	s, db := vaultd.Start(t, ""), vaultd.StartPostgres(t)
	s.Database(t, db, "short", "1h", "2h")
	s.Policy(t, "app", "database/creds/* read")
	role := appRole(t, s, map[string]any{"token_ttl": "6s", "token_max_ttl": "6s"})
	p := open(t, s.Address, "auth: {method: approle, role_id: "+role+", secret_id: {ask: true}}", map[string]string{"secret_id": secretID(t, s)})
	users := map[string]bool{}
	for end := time.Now().Add(14 * time.Second); time.Now().Before(end); time.Sleep(200 * time.Millisecond) {
		users[p.account(db)] = true
	}
	if len(users) < 3 {
		t.Errorf("%d accounts", len(users))
	}
	must(t, p.Lock(limited(t)))
	eventually(t, "all accounts are gone", func() bool { return accounts(t, db) == "0" })
}

// TestLeasesOfAGivenToken are revoked one by one, where its policies allow that.
func TestLeasesOfAGivenToken(t *testing.T) {
	t.Parallel()
	s, db := vaultd.Start(t, ""), vaultd.StartPostgres(t)
	s.Database(t, db, "short", "1h", "2h")
	s.Policy(t, "app", "database/creds/* read")
	s.Policy(t, "revoke", "sys/leases/revoke update")
	p := open(t, s.Address, byToken, map[string]string{"token": s.Token(t, nil, "app")})
	p.account(db)
	says(t, p.Lock(limited(t)), backend.ErrRejected, "revoking 1 leases, which now live on until they run out: no policy of the token allows to update sys/leases/revoke")
	p.give("token", s.Token(t, nil, "app", "revoke"))
	p.account(db)
	if n := accounts(t, db); n != "2" {
		t.Errorf("%s accounts", n)
	}
	must(t, p.Lock(limited(t)))
	eventually(t, "the second account is gone", func() bool { return accounts(t, db) == "1" })
}

// TestPKI: certificate and key are of one issue, with a lease or without.
func TestPKI(t *testing.T) {
	t.Parallel()
	s := vaultd.Start(t, "")
	s.Do(t, "POST", "sys/mounts/pki", map[string]string{"type": "pki"})
	s.Do(t, "POST", "pki/root/generate/internal", map[string]string{"common_name": "root of the tests", "ttl": "24h"})
	for _, lease := range []bool{false, true} {
		role := fmt.Sprintf("lease-%v", lease)
		s.Do(t, "POST", "pki/roles/"+role, map[string]any{
			"allowed_domains": "example.org", "allow_subdomains": true, "key_type": "ec", "key_bits": 256, "ttl": "8s", "not_before_duration": "0s", "generate_lease": lease,
		})
		p := open(t, s.Address, byToken, asRoot())
		entry := "{path: pki/issue/" + role + ", field: %s, data: {common_name: a.example.org}}"
		pair := func() (cert, key string) {
			cert, v1, err := p.get(fmt.Sprintf(entry, "certificate"))
			must(t, err)
			key, v2, err := p.get(fmt.Sprintf(entry, "private_key"))
			must(t, err)
			if v1 != v2 {
				t.Fatalf("of two issues: %s, %s", v1, v2)
			}
			return cert, key
		}
		before := s.Requests(t, "pki/issue/")
		cert, key := pair()
		matches(t, cert, key)
		chain, _, err := p.get(fmt.Sprintf(entry, "ca_chain"))
		if err != nil || !strings.HasPrefix(chain, "-----BEGIN CERTIFICATE-----\n") || !strings.HasSuffix(chain, "-----END CERTIFICATE-----\n") {
			t.Errorf("the chain is no PEM: %q, %v", chain, err)
		}
		if n := s.Requests(t, "pki/issue/") - before; n != 1 {
			t.Errorf("issued %d times", n)
		}
		eventually(t, "a new certificate before the old one ends", func() bool { now, _ := pair(); return now != cert })
		p.fails("{path: pki/issue/"+role+", field: certificate, data: {common_name: a.example.com}}", backend.ErrUnsupported, "a.example.com not allowed by this role")
	}
}
