package vault

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/secretfs/secretfs/tests/harness"
	"github.com/secretfs/secretfs/tests/vaultd"
)

// mounted is a mount of a policy whose backend vault logs in with the secret id in
// the file "id", or what auth says.
func mounted(t *testing.T, address, auth, policy string, files map[string]string) *harness.Mount {
	t.Helper()
	m := harness.New(t, harness.Options{
		Plain: "vault-password: correct horse battery\n", NoMount: true, Policy: policy,
		Head: "backends:\n  main: {type: sops, file: secrets.yaml, age: {key_files: [keys.txt]}}\n" +
			"  vault: {type: vault, address: '" + address + "', proxy: none, ttl: 2s, auth: " + auth + "}\n",
	})
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(m.Root, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	m.Mount()
	return m
}

// why is the sentence in the extended attribute of name, and the error of reading it.
func why(t *testing.T, m *harness.Mount, name string) (string, error) {
	t.Helper()
	_, err := os.ReadFile(m.Path(name))
	buf := make([]byte, 4096)
	n, xerr := unix.Getxattr(m.Path(name), "user.secretfs.error", buf)
	if xerr != nil {
		t.Fatalf("getxattr: %v, after %v", xerr, err)
	}
	return string(buf[:n]), err
}

func fails(t *testing.T, m *harness.Mount, name string, errno error, sentence string) {
	t.Helper()
	if text, err := why(t, m, name); !errors.Is(err, errno) || !strings.Contains(text, sentence) {
		t.Errorf("%s: got %v, %q\nwant %v and %q", name, err, text, errno, sentence)
	}
}

// newServer has secrets in both versions of KV, and a policy "app" for them.
func newServer(t *testing.T) *vaultd.Server {
	s := vaultd.Start(t, "")
	s.Do(t, "POST", "sys/mounts/kv", map[string]any{"type": "kv"})
	s.Do(t, "POST", "kv/old", map[string]string{"key": "of version 1"})
	s.Do(t, "POST", "secret/data/db", map[string]any{"data": map[string]string{"USER": "app", "PASSWORD": "first"}})
	s.Policy(t, "app", "secret/data/* read", "secret/metadata/* list", "kv/* read,list")
	return s
}

const kvPolicy = `secrets:
  password: {backend: vault, path: secret/db, field: PASSWORD}
  pinned:   {backend: vault, path: secret/data/db, field: PASSWORD, version: 1}
  env:      {backend: vault, path: secret/db, format: dotenv}
  json:     {backend: vault, path: secret/db}
  old:      {backend: vault, path: kv/old, field: key}
  none:     {backend: vault, path: secret/none, field: key}
  denied:   {backend: vault, path: sys/policies/acl/app, field: policy}
directories:
  all: {backend: vault, prefix: secret}
`

func TestKV(t *testing.T) {
	harness.NeedRoot(t)
	s := newServer(t)
	m := mounted(t, s.Address, "{method: token_file, file: token}", kvPolicy, map[string]string{"token": s.Token(t, nil, "app") + "\n"})
	for name, want := range map[string]string{
		"password": "first", "pinned": "first", "env": "PASSWORD=\"first\"\nUSER=\"app\"\n",
		"json": `{"PASSWORD":"first","USER":"app"}` + "\n", "old": "of version 1",
	} {
		if got := m.Read(name); got != want {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
	fails(t, m, "none", unix.ENOENT, "reading secret/none from "+s.Address+": there is nothing at this path")
	fails(t, m, "denied", unix.EKEYREJECTED, "the token is good, but no policy of it (app, default) allows to read sys/policies/acl/app")
	s.Do(t, "POST", "secret/data/db", map[string]any{"data": map[string]string{"USER": "app", "PASSWORD": "second"}})
	harness.Eventually(t, "the new version is served", func() bool { return m.Read("password") == "second" })
	if got := m.Read("pinned"); got != "first" {
		t.Errorf("pinned: got %q", got)
	}
	m.VerifyAudit()
}

// TestDirectory lists without fetching a value.
func TestDirectory(t *testing.T) {
	harness.NeedRoot(t)
	s := newServer(t)
	for i := range 20 {
		s.Do(t, "POST", fmt.Sprintf("secret/data/apps/a%02d", i), map[string]any{"data": map[string]string{"k": fmt.Sprint("value ", i)}})
	}
	m := mounted(t, s.Address, "{method: token_file, file: token}", "directories:\n  all: {backend: vault, prefix: secret}\n  k: {backend: vault, prefix: secret/apps, field: k}\n",
		map[string]string{"token": s.Token(t, nil, "app")})
	var names []string
	harness.Eventually(t, "the directory is listed", func() bool {
		entries, err := os.ReadDir(m.Path("k"))
		names = nil
		for _, e := range entries {
			names = append(names, e.Name())
		}
		return err == nil && len(names) == 20
	})
	if n := s.Requests(t, "secret/data/apps/a"); n != 20 { // the writes
		t.Errorf("values were fetched for a listing: %d", n-20)
	}
	if got := m.Read("k/a07"); got != "value 7" {
		t.Errorf("got %q", got)
	}
	harness.Eventually(t, "all is listed", func() bool {
		got, err := os.ReadFile(m.Path("all/apps/a03"))
		return err == nil && string(got) == "{\"k\":\"value 3\"}\n"
	})
}

// TestLogins: each way in, its credential from another link of the chain.
func TestLogins(t *testing.T) {
	harness.NeedRoot(t)
	s := newServer(t)
	s.Do(t, "POST", "sys/auth/approle", map[string]string{"type": "approle"})
	s.Do(t, "POST", "auth/approle/role/app", map[string]any{"token_policies": "app", "token_ttl": "1h"})
	role := vaultd.Text(t, s.Do(t, "GET", "auth/approle/role/app/role-id", nil), "data", "role_id")
	wrapped := vaultd.Text(t, s.Do(t, "POST", "auth/approle/role/app/secret-id\nX-Vault-Wrap-TTL: 60s", nil), "wrap_info", "token")
	s.Do(t, "POST", "sys/auth/userpass", map[string]string{"type": "userpass"})
	s.Do(t, "POST", "auth/userpass/users/ann", map[string]string{"password": "correct horse battery", "token_policies": "app"})
	for name, c := range map[string]struct{ auth, file, login string }{
		"token":    {"{method: token, token: {file: f}}", s.Token(t, nil, "app"), "no/login"},
		"approle":  {"{method: approle, role_id: " + role + ", secret_id: {file: f}, wrapped: true}", wrapped, "auth/approle/login"},
		"userpass": {"{method: userpass, username: ann, password: {secret: vault-password}}", "", "auth/userpass/login"},
	} {
		t.Run(name, func(t *testing.T) {
			m := mounted(t, s.Address, c.auth, strings.Replace(kvPolicy, "secrets:\n", "secrets:\n  vault-password: {backend: main}\n", 1), map[string]string{"f": c.file})
			if got := m.Read("password"); got != "first" {
				t.Errorf("got %q", got)
			}
			logins := s.Requests(t, c.login)
			m.KillWorker()
			if got := m.Read("json"); !strings.Contains(got, "first") {
				t.Errorf("got %q", got)
			}
			if n := s.Requests(t, c.login) - logins; n != 0 {
				t.Errorf("%d more logins after the worker was killed", n)
			}
		})
	}
}
