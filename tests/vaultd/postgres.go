package vaultd

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// A Postgres is a PostgreSQL server. Its user postgres needs no password; all others do.
type Postgres struct {
	Address string // 127.0.0.1:PORT
	bin     string
}

const access = "local all all trust\nhost all postgres 127.0.0.1/32 trust\nhost all all 127.0.0.1/32 scram-sha-256\n"

// StartPostgres starts one, as the user postgres where we are root, and ends it with
// the test.
func StartPostgres(t testing.TB) *Postgres {
	t.Helper()
	bins, _ := filepath.Glob("/usr/lib/postgresql/*/bin")
	if len(bins) == 0 {
		t.Fatal("the tests need PostgreSQL: tests/setup.sh test")
	}
	p := &Postgres{Address: FreePort(t), bin: bins[len(bins)-1]}
	dir, err := os.MkdirTemp("", "pg") // t.TempDir is below a folder that only we may enter
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	p.do(t, "initdb", "-D", dir+"/data", "-A", "trust", "-U", "postgres", "--no-sync")
	if err := os.WriteFile(dir+"/data/pg_hba.conf", []byte(access), 0o600); err != nil {
		t.Fatal(err)
	}
	_, port, _ := strings.Cut(p.Address, ":")
	cmd := p.command("postgres", "-D", dir+"/data", "-c", "listen_addresses=127.0.0.1", "-c", "fsync=off", "-p", port, "-k", dir)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGQUIT) // at once
		_ = cmd.Wait()
	})
	for range 300 {
		if p.command("pg_isready", "-h", "127.0.0.1", "-p", port).Run() == nil {
			return p
		}
	}
	t.Fatal("postgres does not start")
	return nil
}

func (p *Postgres) command(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(filepath.Join(p.bin, name), args...)
	if os.Geteuid() == 0 {
		cmd = exec.Command("setpriv", append([]string{"--reuid=postgres", "--regid=postgres", "--init-groups", cmd.Path}, args...)...)
	}
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGQUIT}
	return cmd
}

func (p *Postgres) do(t testing.TB, name string, args ...string) string {
	t.Helper()
	out, err := p.command(name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", name, err, out)
	}
	return string(out)
}

// Query runs a statement as user, and gives what it answers.
func (p *Postgres) Query(t testing.TB, user, password, statement string) (string, error) {
	t.Helper()
	host, port, _ := strings.Cut(p.Address, ":")
	cmd := p.command("psql", "-h", host, "-p", port, "-U", user, "-Atqc", statement, "postgres")
	cmd.Env = append(os.Environ(), "PGPASSWORD="+password)
	out, err := cmd.CombinedOutput()
	return strings.TrimSpace(string(out)), err
}

// Database has v give out accounts of p at database/creds/NAME, with leases of these
// times ("5s").
func (v *Server) Database(t testing.TB, p *Postgres, name, ttl, maxTTL string) {
	t.Helper()
	if status, _ := v.Try(t, Root, "GET", "sys/mounts/database", nil); status != 200 {
		v.Do(t, "POST", "sys/mounts/database", map[string]string{"type": "database"})
		v.Do(t, "POST", "database/config/pg", map[string]any{
			"plugin_name": "postgresql-database-plugin", "allowed_roles": "*", "username": "postgres", "password": "unused",
			"connection_url": fmt.Sprintf("postgresql://{{username}}:{{password}}@%s/postgres?sslmode=disable", p.Address),
		})
	}
	v.Do(t, "POST", "database/roles/"+name, map[string]any{
		"db_name": "pg", "default_ttl": ttl, "max_ttl": maxTTL,
		"creation_statements": []string{`CREATE ROLE "{{name}}" WITH LOGIN PASSWORD '{{password}}' VALID UNTIL '{{expiration}}';`},
	})
}
