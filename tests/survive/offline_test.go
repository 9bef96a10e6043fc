package survive

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/secretfs/secretfs/tests/harness"
	"github.com/secretfs/secretfs/tests/vaultd"
)

// vaultMount mounts a backend vault, by way of a proxy, with more settings of it.
func vaultMount(t *testing.T, s *vaultd.Server, address, more, policy string, before ...func(*harness.Mount)) *harness.Mount {
	t.Helper()
	m := harness.New(t, harness.Options{Plain: "a: unused\n", NoMount: true})
	write(t, m.Root+"/token", s.Token(t, nil, "root"))
	if err := os.Chmod(m.Root+"/token", 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", m.Root+"/host").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	m.WritePolicy(harness.Options{Head: vaultHead(m, address, more), Policy: policy})
	for _, do := range before {
		do(m)
	}
	m.Mount()
	return m
}

func vaultHead(m *harness.Mount, address, more string) string {
	return fmt.Sprintf("state: %s/state\nbackends:\n  vault: {type: vault, address: %q, auth: {method: token, token: {file: token}}, timeout: 2s%s}\n",
		m.Root, address, more)
}

// put writes a secret of the engine secret/.
func putSecret(t *testing.T, s *vaultd.Server, path, value string) {
	t.Helper()
	s.Do(t, "PUT", "secret/data/"+path, map[string]any{"data": map[string]string{"value": value}})
}

// copies are the files below the state directory, checked for what they are.
func copies(t *testing.T, m *harness.Mount, plain ...string) (n int) {
	t.Helper()
	err := filepath.WalkDir(m.Root+"/state", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || strings.Contains(path, "~") && !strings.HasSuffix(path, ".age") {
			return nil //nolint:nilerr // it is being written or removed
		}
		n++
		info, err := d.Info()
		if err == nil && info.Mode() != 0o600 {
			t.Errorf("%s: mode %v", path, info.Mode())
		}
		b, err := os.ReadFile(path)
		for _, p := range plain {
			if err == nil && strings.Contains(string(b), p) {
				t.Errorf("%s holds %q", path, p)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// remount is what a reboot does, but for the boot id.
func remount(m *harness.Mount) {
	m.Unmount()
	m.Mount()
}

// TestOffline: what a vault gave is served when a mount begins without it, and
// what it has taken back is not.
func TestOffline(t *testing.T) {
	harness.NeedRoot(t)
	s := vaultd.Start(t, "")
	way := vaultd.Through(t, s.Address)
	putSecret(t, s, "apps/db", "canary-db")
	putSecret(t, s, "apps/other", "canary-other")
	m := vaultMount(t, s, way.Address, ", ttl: 1s, offline: {host_key: host}",
		"secrets:\n  db: {backend: vault, path: secret/apps/db, field: value}\ndirectories:\n  apps: {backend: vault, prefix: secret/apps, field: value}\n")
	if got := m.Read("db"); got != "canary-db" {
		t.Errorf("got %q", got)
	}
	harness.Eventually(t, "a listing and a value are copied", func() bool { return copies(t, m, "canary", "apps") == 2 })
	way.Cut()
	remount(m)
	if got := m.Read("db") + " " + m.Read("apps/db"); got != "canary-db canary-db" {
		t.Errorf("without the server: %q", got)
	}
	if why, err := errorOf(t, m, "db"); err != nil || !strings.Contains(why, "served from the offline copy of ") {
		t.Errorf("extended attribute: %q, %v", why, err)
	}
	if st := m.Status(); st.Secrets[0].State != "stale" || st.Backends[0].State != "stale" {
		t.Errorf("status: %+v", st)
	}
	if log, err := os.ReadFile(m.AuditLog); err != nil || !strings.Contains(string(log), `"stale":true`) {
		t.Errorf("audit: %v\n%s", err, log)
	}
	if entries, err := os.ReadDir(m.Path("apps")); err != nil || len(entries) != 2 {
		t.Errorf("listed %v, %v", entries, err)
	}
	if _, err := os.ReadFile(m.Path("apps/other")); !errors.Is(err, unix.EHOSTUNREACH) {
		t.Errorf("what was never read: %v", err)
	}
	m.KillWorker()
	if got := m.Read("db"); got != "canary-db" {
		t.Errorf("the next worker: %q", got)
	}

	s.Do(t, "DELETE", "secret/metadata/apps/db", nil)
	way.Mend(t)
	harness.Eventually(t, "what is deleted is gone", func() bool {
		_, err := os.ReadFile(m.Path("db"))
		return errors.Is(err, unix.ENOENT)
	})
	harness.Eventually(t, "its copy is removed", func() bool { return copies(t, m, "canary") <= 1 })
	way.Cut()
	remount(m)
	if got, err := os.ReadFile(m.Path("db")); !errors.Is(err, unix.EHOSTUNREACH) {
		t.Errorf("it is back from the dead: %q, %v", got, err)
	}

	way.Mend(t)
	putSecret(t, s, "apps/db", "canary-new")
	m.Must("refresh")
	harness.Eventually(t, "there are copies", func() bool {
		_, _ = os.ReadFile(m.Path("db")) // it may not be back yet
		return copies(t, m, "canary") == 2
	})
	m.WritePolicy(harness.Options{Head: vaultHead(m, way.Address, ""), Policy: "secrets:\n  db: {backend: vault, path: secret/apps/db, field: value}\n"})
	m.Must("reload")
	harness.Eventually(t, "without offline: nothing is left", func() bool { return copies(t, m) == 0 })
	if got := m.Read("db"); got != "canary-new" {
		t.Errorf("got %q", got)
	}
}

// TestRemoteDirectory counts what listing a directory costs a vault.
func TestRemoteDirectory(t *testing.T) {
	harness.NeedRoot(t)
	const many = 200
	s := vaultd.Start(t, "")
	way := vaultd.Through(t, s.Address)
	for i := range many {
		putSecret(t, s, fmt.Sprintf("many/secret-%03d", i), fmt.Sprintf("canary-%d", i))
	}
	m := vaultMount(t, s, way.Address, ", ttl: 1h", "directories:\n  many: {backend: vault, prefix: secret/many, field: value}\n")
	written := s.Requests(t, "secret/data/many/")
	list := func() {
		t.Helper()
		out, err := exec.Command("ls", "-l", m.Path("many")).CombinedOutput()
		if n := strings.Count(string(out), "secret-"); err != nil || n != many {
			t.Errorf("ls -l: %d lines, %v", n, err)
		}
	}
	list()
	time.Sleep(time.Second) // it is kept for the next worker half a second later
	m.KillWorker()
	list()
	if n := s.Requests(t, "secret/data/many/") - written; n != 0 {
		t.Errorf("%d values were fetched", n)
	}
	if n := s.Requests(t, "secret/metadata/many"); n != 1 {
		t.Errorf("listed %d times", n)
	}
	if got := m.Read("many/secret-042"); got != "canary-42" {
		t.Errorf("got %q", got)
	}
	way.Stall(t)
	m.Must("refresh")
	list() // of what was known, though the server hangs
}

// TestRemoteDirectoryWithoutServer: until something is known of a directory, ls ends
// with the reason, and others go on.
func TestRemoteDirectoryWithoutServer(t *testing.T) {
	harness.NeedRoot(t)
	s := vaultd.Start(t, "")
	way := vaultd.Through(t, s.Address)
	putSecret(t, s, "apps/db", "canary-db")
	way.Stall(t)
	m := vaultMount(t, s, way.Address, "", "directories:\n  apps: {backend: vault, prefix: secret/apps, field: value}\n")
	ls := func() error { _, err := os.ReadDir(m.Path("apps")); return err }
	start := time.Now()
	if err := ls(); !errors.Is(err, unix.ETIMEDOUT) {
		t.Errorf("a server that hangs: %v", err)
	}
	if _, err := os.ReadFile(m.Path("apps/db")); !errors.Is(err, unix.ETIMEDOUT) {
		t.Errorf("a server that hangs: %v", err)
	}
	if took := time.Since(start); took > 20*time.Second { // two seconds each
		t.Errorf("that took %v", took)
	}
	if _, err := os.ReadDir(m.Dir); err != nil {
		t.Error(err)
	}
	way.Cut()
	harness.Eventually(t, "a server that is not there is said to be", func() bool { return errors.Is(ls(), unix.EHOSTUNREACH) })
	way.Mend(t)
	m.Must("refresh")
	harness.Eventually(t, "it is back", func() bool { return ls() == nil })
	if got := m.Read("apps/db"); got != "canary-db" {
		t.Errorf("got %q", got)
	}
}

// TestOfflineOnAFullDisk: what cannot be kept is said, and served all the same.
func TestOfflineOnAFullDisk(t *testing.T) {
	harness.NeedRoot(t)
	s := vaultd.Start(t, "")
	way := vaultd.Through(t, s.Address)
	putSecret(t, s, "apps/large", strings.Repeat("canary", 20_000))
	putSecret(t, s, "apps/small", "canary-small")
	m := vaultMount(t, s, way.Address, ", ttl: 1s, offline: {host_key: host}", "directories:\n  apps: {backend: vault, prefix: secret/apps, field: value}\n",
		func(m *harness.Mount) {
			if err := errors.Join(os.Mkdir(m.Root+"/state", 0o700), unix.Mount("tmpfs", m.Root+"/state", "tmpfs", 0, "size=64k,mode=0700")); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() {
				if err := unix.Unmount(m.Root+"/state", unix.MNT_DETACH); err != nil {
					t.Error(err)
				}
			})
		})
	for range 2 {
		if got := m.Read("apps/large"); len(got) != 120_000 {
			t.Errorf("got %d bytes", len(got))
		}
	}
	harness.Eventually(t, "the log says so", func() bool {
		return strings.Contains(m.Log(), "keeping an offline copy") && strings.Contains(m.Log(), "no space left on device")
	})
	m.Read("apps/small")
	harness.Eventually(t, "what fits is kept, and nothing half", func() bool { return copies(t, m, "canary") == 2 })
	way.Cut()
	remount(m)
	if got := m.Read("apps/small"); got != "canary-small" {
		t.Errorf("got %q", got)
	}
	if _, err := os.ReadFile(m.Path("apps/large")); !errors.Is(err, unix.EHOSTUNREACH) {
		t.Error(err)
	}
}
