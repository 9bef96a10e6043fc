package systemdcreds

import (
	"slices"
	"strings"
	"testing"

	"github.com/secretfs/secretfs/policy"
)

func parsePolicy(text string) (*policy.Policy, error) {
	return policy.Parse("/etc/secretfs/policy.yaml", []byte(text), policy.Env{Drivers: policy.Drivers{
		"systemd-creds": {Settings: Decode, TTL: TTL, SecretKeys: SecretKeys, Reference: Reference},
	}})
}

func TestSettings(t *testing.T) {
	p, err := parsePolicy(`backends:
  c: {type: systemd-creds, path: /etc/credstore.encrypted}
secrets:
  db/password: {backend: c}
  exact: {backend: c, file: ./sub/token.cred}
  absolute: {backend: c, file: /etc/credstore.encrypted/token}
  named: {backend: c, name: wifi}
  both: {backend: c, file: x.cred, name: wifi}
`)
	if err != nil {
		t.Fatal(err)
	}
	if b := p.Backends[0]; b.Config != (Settings{Path: "/etc/credstore.encrypted"}) || b.TTL != TTL {
		t.Errorf("got %+v", b)
	}
	want := map[string]string{
		"db/password": "db/password.cred db/password: password.cred password", "exact": "sub/token.cred: token.cred token",
		"absolute": "token: token", "named": "named.cred named: wifi", "both": "x.cred: wifi",
	}
	for _, s := range p.Secrets {
		to := targetOf(s.Key)
		if got := strings.Join(to.files, " ") + ": " + strings.Join(to.names(to.files[0]), " "); got != want[s.Path] {
			t.Errorf("%s: key %q means %q, want %q", s.Path, s.Key, got, want[s.Path])
		}
	}
	if got := targetOf("a//b//c").names("a"); !slices.Equal(got, []string{"b//c"}) {
		t.Errorf("names %q", got)
	}
}

func TestMistakes(t *testing.T) {
	const head = "backends: {c: {type: systemd-creds, path: /srv/c}}\nsecrets: {a: {backend: c, "
	for text, want := range map[string]string{
		"backends: {c: {type: systemd-creds}}": "path is missing: the directory of the credentials",
		head + "file: ../x}}":                  `want a file below /srv/c, have "../x"`,
		head + "file: /etc/x}}":                "want a file below /srv/c, have /etc/x",
		head + "file: x/}}":                    "want a file below",
		head + "name: a/b}}":                   `no credential can be called "a/b"`,
		head + "name: ''}}":                    "is empty",
		head + "key: x}}":                      "name it with file",
	} {
		if _, err := parsePolicy(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", text, err, want)
		}
	}
}
