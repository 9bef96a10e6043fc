package age

import (
	"path/filepath"
	"reflect"
	"slices"
	"testing"

	"github.com/secretfs/secretfs/backend/credential"
	"github.com/secretfs/secretfs/policy"
)

const policyFile = "/etc/secretfs/policy.yaml"

func parsePolicy(text string) (*policy.Policy, error) {
	return policy.Parse(policyFile, []byte(text), policy.Env{Drivers: policy.Drivers{
		"age": {Settings: Decode, SecretKeys: SecretKeys, Reference: Reference},
	}})
}

func TestSettings(t *testing.T) {
	p, err := parsePolicy(`backends:
  a: {type: age, dir: secrets, identities: [any], key_files: [keys.txt], ssh_key_files: [/etc/ssh/ssh_host_ed25519_key], plugins_path: /opt/age, passphrase: {ask: true}}
  b: {type: age, key_files: [keys.txt]}
secrets:
  db/password: {backend: a}
  same: {backend: a, file: db/password.age}
  odd: {backend: a, file: db/password}
  above: {backend: a, file: ../x.age}
  back: {backend: a, file: ../secrets/y.age}
  store: {backend: a, file: /nix/store/0-x.age}
  within: {backend: a, file: /etc/secretfs/secrets/z.age}
  bare: {backend: a, file: .age}
`)
	if err != nil {
		t.Fatal(err)
	}
	want := Settings{
		Dir: "/etc/secretfs/secrets", Identities: []string{"/etc/secretfs/any"}, KeyFiles: []string{"/etc/secretfs/keys.txt"},
		SSHKeyFiles: []string{"/etc/ssh/ssh_host_ed25519_key"}, PluginsPath: "/opt/age", Passphrase: credential.Source{Kind: credential.Ask, Field: "passphrase"},
	}
	if got := p.Backends[0].Config; !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if got := p.Backends[1].Config.(Settings).Dir; got != "/etc/secretfs" {
		t.Errorf("without dir the directory is %s", got)
	}
	files := map[string][2]string{ // key, file
		"db/password": {"db/password", "/etc/secretfs/secrets/db/password.age"},
		"same":        {"db/password", "/etc/secretfs/secrets/db/password.age"},
		"odd":         {"./db/password", "/etc/secretfs/secrets/db/password"},
		"above":       {"/etc/secretfs/x.age", "/etc/secretfs/x.age"},
		"back":        {"y", "/etc/secretfs/secrets/y.age"},
		"store":       {"/nix/store/0-x.age", "/nix/store/0-x.age"},
		"within":      {"z", "/etc/secretfs/secrets/z.age"},
		"bare":        {"./.age", "/etc/secretfs/secrets/.age"},
	}
	for _, s := range p.Secrets {
		path, ok := pathOf(want.Dir, s.Key)
		if got := [2]string{s.Key, path}; !ok || got != files[s.Path] {
			t.Errorf("%s: got %q, want %q", s.Path, got, files[s.Path])
		}
	}
	if len(p.Secrets) != len(files) {
		t.Errorf("%d secrets, want %d", len(p.Secrets), len(files))
	}
}

func TestMistakes(t *testing.T) {
	_, err := parsePolicy(`backends:
  a: {type: age}
  b: {type: age, key_file: [k], identities: k, dir: 7}
secrets:
  key: {backend: a, key: x}
  empty: {backend: a, file: ""}
  number: {backend: a, file: 7}
  dir: {backend: a, file: db/}
`)
	want := `/etc/secretfs/policy.yaml:2:3: backends.a: no key is named: give identities, key_files or ssh_key_files
/etc/secretfs/policy.yaml:3:18: backends.b.key_file: unknown key; did you mean "key_files"?
/etc/secretfs/policy.yaml:3:45: backends.b.identities: want a list, have the text "k"
/etc/secretfs/policy.yaml:3:53: backends.b.dir: want a text, have the number 7
/etc/secretfs/policy.yaml:5:26: secrets.key.key: an age file is one secret and has no keys: name it with file
/etc/secretfs/policy.yaml:6:29: secrets.empty.file: is empty
/etc/secretfs/policy.yaml:7:30: secrets.number.file: want a text, have the number 7
/etc/secretfs/policy.yaml:8:27: secrets.dir.file: want a file, have the directory "db/"`
	if err == nil || err.Error() != want {
		t.Errorf("got\n%v\nwant\n%s", err, want)
	}
}

func TestNoKeyLeavesTheDirectory(t *testing.T) {
	for _, key := range []string{"", ".", "..", "../x", "a/../../x", "a/..", "a//b", "a/", "/a/../b", "./../x", "./", "./a/../b", "a\x00b"} {
		if path, ok := pathOf("/d", key); ok {
			t.Errorf("%q: %s", key, path)
		}
	}
	if got := (Settings{Dir: "/d", KeyFiles: []string{"/k"}, SSHKeyFiles: []string{"/s"}}).Needs(); !slices.Equal(got, []string{"/d", "/k", "/s"}) {
		t.Errorf("needs %v", got)
	}
}

// Whatever is asked for, its file lies below the directory unless it is given as a
// path of its own.
func FuzzPathOf(f *testing.F) {
	for _, key := range []string{"a", "a/b", "../x", "./a", "./..", "a/../..", "/etc/x"} {
		f.Add(key)
	}
	f.Fuzz(func(t *testing.T, key string) {
		path, ok := pathOf("/d", key)
		if !ok || filepath.IsAbs(key) {
			return
		}
		if rel, err := filepath.Rel("/d", path); err != nil || !filepath.IsLocal(rel) || rel == "." {
			t.Errorf("%q leads to %s", key, path)
		}
		if again := keyOf("/d", path); again != key {
			if other, ok := pathOf("/d", again); !ok || other != path {
				t.Errorf("%q leads to %s, which is %q", key, path, again)
			}
		}
	})
}
