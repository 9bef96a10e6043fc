package bws_test

import (
	"strings"
	"testing"

	"github.com/secretfs/secretfs/backend/bws"
	"github.com/secretfs/secretfs/backend/credential"
	"github.com/secretfs/secretfs/policy"
)

func parse(text string) (*policy.Policy, error) {
	return policy.Parse("/etc/secretfs/policy.yaml", []byte(text), policy.Env{Drivers: policy.Drivers{
		"bws": {Settings: bws.Decode, SecretKeys: bws.SecretKeys, Reference: bws.Reference, TTL: bws.TTL, Secrets: credential.Secrets},
	}})
}

func TestSettings(t *testing.T) {
	for text, want := range map[string][2]string{
		"":                                      {"https://api.bitwarden.com", "https://identity.bitwarden.com"},
		"server: https://bitwarden.eu, ":        {"https://api.bitwarden.eu", "https://identity.bitwarden.eu"},
		"server: https://vault.bitwarden.eu/, ": {"https://api.bitwarden.eu", "https://identity.bitwarden.eu"},
		"server: https://bw.example/, ":         {"https://bw.example/api", "https://bw.example/identity"},
		"server: http://127.0.0.1:8080, ":       {"http://127.0.0.1:8080/api", "http://127.0.0.1:8080/identity"},
		"server: https://bw.example, api_url: https://a.example, ":      {"https://a.example", "https://bw.example/identity"},
		"api_url: https://a.example, identity_url: https://i.example, ": {"https://a.example", "https://i.example"},
	} {
		p, err := parse("backends: {b: {type: bws, " + text + "access_token: {file: token}}}\n")
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		s := p.Backends[0].Config.(bws.Settings)
		if got := [2]string{s.API, s.Identity}; got != want || s.AccessToken.Name != "/etc/secretfs/token" {
			t.Errorf("%s: got %v, %s", text, got, s.AccessToken)
		}
	}
}

func TestReferences(t *testing.T) {
	const id = "be8e0ad8-d545-4017-a55a-b02f014d4158"
	p, err := parse(`backends: {b: {type: bws, access_token: {credential: bws}}}
secrets:
  a/path: {}
  b: {name: other}
  c: {name: other, project: Prod 1, field: note}
  d: {id: ` + strings.ToUpper(id) + `}
  e: {id: ` + id + `, field: key}
  f: {project: prod}
`)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"a/path": "/name//a%2Fpath/value", "b": "/name//other/value", "c": "/name/Prod%201/other/note",
		"d": "/id/" + id + "/value", "e": "/id/" + id + "/name", "f": "/name/prod/f/value",
	}
	for _, s := range p.Secrets {
		if s.Key != want[s.Path] {
			t.Errorf("%s: got %s, want %s", s.Path, s.Key, want[s.Path])
		}
	}
}

func TestMistakes(t *testing.T) {
	const backends = "backends: {b: {type: bws, access_token: {file: t}}}\n"
	for text, says := range map[string]string{
		"backends: {b: {type: bws}}":                                                        "access_token is missing: say where",
		"backends: {b: {type: bws, access_token: 0.a.b:c}}":                                 "readable in the Nix store",
		"backends: {b: {type: bws, access_token: {file: t}, server: bw.example}}":           "want a URL",
		"backends: {b: {type: bws, access_token: {file: t}, server: 'http://bw.example'}}":  "want https",
		"backends: {b: {type: bws, access_token: {file: t}, api_url: 'https://a.example'}}": "belong together",

		"backends: {b: {type: bws, access_token: {file: t}, server: 'https://s.example', api_url: 'https://a.example', identity_url: 'https://i.example'}}": "say already",

		"backends: {b: {type: bws, access_token: {file: t}, token: x}}": "unknown key",

		backends + "secrets: {x: {key: y}}":                                            "name the secret with id",
		backends + "secrets: {x: {id: y}}":                                             "want the id of a secret",
		backends + "secrets: {x: {id: ''}}":                                            "want the id of a secret",
		backends + "secrets: {x: {id: be8e0ad8-d545-4017-a55a-b02f014d4158, name: y}}": "an id needs no name",
		backends + "secrets: {x: {field: password}}":                                   "want one of value, note, name, key",
		backends + "secrets: {x: {folder: y}}":                                         "unknown key",
	} {
		if _, err := parse(text); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v does not say %q", text, err, says)
		}
	}
}
