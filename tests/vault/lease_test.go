package vault

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/secretfs/secretfs/tests/harness"
	"github.com/secretfs/secretfs/tests/vaultd"
)

const leasePolicy = `secrets:
  user:     {backend: vault, path: database/creds/long, field: username}
  password: {backend: vault, path: database/creds/long, field: password}
  dsn.env:  {backend: vault, path: database/creds/long, format: dotenv}
`

// withDatabase is a mount that serves accounts of a database, logged in by AppRole.
func withDatabase(t *testing.T) (*harness.Mount, *vaultd.Server, *vaultd.Postgres) {
	t.Helper()
	harness.NeedRoot(t)
	s, db := vaultd.Start(t, ""), vaultd.StartPostgres(t)
	s.Database(t, db, "long", "1h", "2h")
	s.Policy(t, "app", "database/creds/* read")
	s.Do(t, "POST", "sys/auth/approle", map[string]string{"type": "approle"})
	s.Do(t, "POST", "auth/approle/role/app", map[string]any{"token_policies": "app", "token_ttl": "1h"})
	role := vaultd.Text(t, s.Do(t, "GET", "auth/approle/role/app/role-id", nil), "data", "role_id")
	id := vaultd.Text(t, s.Do(t, "POST", "auth/approle/role/app/secret-id", nil), "data", "secret_id")
	m := mounted(t, s.Address, "{method: approle, role_id: "+role+", secret_id: {file: id}}", leasePolicy, map[string]string{"id": id})
	return m, s, db
}

// account reads an account from the mount, which must work.
func account(t *testing.T, m *harness.Mount, db *vaultd.Postgres) (user string) {
	t.Helper()
	user = m.Read("user")
	if got, err := db.Query(t, user, m.Read("password"), "select current_user"); err != nil || got != user {
		t.Fatalf("the account does not work: %q, %v", got, err)
	}
	return user
}

func gone(t *testing.T, db *vaultd.Postgres) {
	t.Helper()
	harness.Eventually(t, "no account is left", func() bool {
		n, err := db.Query(t, "postgres", "", "select count(*) from pg_roles where rolname like 'v-%'")
		return err == nil && n == "0"
	})
}

// TestLeaseOutlivesWorkers: not the worker's death, an upgrade or a new policy
// gives other credentials, only the end of the mount takes them away.
func TestLeaseOutlivesWorkers(t *testing.T) {
	m, s, db := withDatabase(t)
	user := account(t, m, db)
	same := func(after string) {
		t.Helper()
		if now := account(t, m, db); now != user || !strings.Contains(m.Read("dsn.env"), user) {
			t.Errorf("another account after %s", after)
		}
		if leases, logins := s.Requests(t, "database/creds/"), s.Requests(t, "auth/approle/login"); leases != 1 || logins != 1 {
			t.Errorf("after %s: %d leases, %d logins", after, leases, logins)
		}
	}
	for range 3 {
		m.KillWorker()
		same("SIGKILL")
	}
	m.Must("upgrade")
	same("an upgrade")
	policy, err := os.ReadFile(m.Policy)
	if err != nil {
		t.Fatal(err)
	}
	write(t, m.Policy, strings.Replace(string(policy), "ttl: 2s", "ttl: 1s, timeout: 1s", 1))
	m.Must("reload")
	same("a reload")
	m.Unmount()
	gone(t, db)
}

// TestCheckGivesBack: a check logs in for itself, and leaves nothing behind.
func TestCheckGivesBack(t *testing.T) {
	m, s, db := withDatabase(t)
	user := account(t, m, db)
	if out, err := exec.Command(harness.Program(t), "check", "--resolve", "--policy", m.Policy).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if n := s.Requests(t, "database/creds/"); n != 2 {
		t.Errorf("%d leases", n)
	}
	harness.Eventually(t, "one account is left", func() bool {
		n, err := db.Query(t, "postgres", "", "select count(*) from pg_roles where rolname like 'v-%'")
		return err == nil && n == "1"
	})
	if now := account(t, m, db); now != user {
		t.Error("another account")
	}
}

func TestLockRevokes(t *testing.T) {
	m, s, db := withDatabase(t)
	first := account(t, m, db)
	m.Must("lock", "vault")
	gone(t, db)
	if _, err := os.ReadFile(m.Path("user")); err == nil {
		t.Error("a locked backend answers")
	}
	m.KillWorker()
	if n := s.Requests(t, "auth/approle/login"); n != 1 {
		t.Errorf("%d logins while locked", n)
	}
	m.Must("unlock", "vault")
	if again := account(t, m, db); again == first {
		t.Error("the account is the one that was revoked")
	}
	policy, err := os.ReadFile(m.Policy)
	if err != nil {
		t.Fatal(err)
	}
	head, _, _ := strings.Cut(string(policy), "  vault: {")
	write(t, m.Policy, head+"secrets:\n  vault-password: {backend: main}\n")
	m.Must("reload")
	gone(t, db) // the policy has no such backend any more
}

func write(t *testing.T, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
