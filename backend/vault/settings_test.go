package vault_test

import (
	"reflect"
	"strings"
	"testing"

	"github.com/secretfs/secretfs/backend/credential"
	"github.com/secretfs/secretfs/backend/httpc"
	"github.com/secretfs/secretfs/backend/vault"
	"github.com/secretfs/secretfs/policy/conf"
)

func TestDecode(t *testing.T) {
	got := decode(t, "{address: 'https://v.example:8200/v1/', standbys: ['https://v2.example:8200'], namespace: /a/b/, ca_file: ca.pem, "+
		"auth: {method: approle, mount: auth/hosts/, role_id: a1-b2, secret_id: {credential: vault}, wrapped: true}}")
	want := vault.Settings{
		Settings: httpc.Settings{CAFile: "/etc/secretfs/ca.pem"},
		Address:  "https://v.example:8200", Standbys: []string{"https://v2.example:8200"}, Namespace: "a/b",
		Auth: vault.Auth{Method: "approle", Mount: "hosts", Role: "a1-b2", Wrapped: true, SecretID: credential.Source{Kind: credential.Systemd, Field: "secret_id", Name: "vault"}},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v\nwant %+v", got, want)
	}
	file := decode(t, "{address: 'http://127.0.0.1:8200', ca_file: ca.pem, auth: {method: token_file, file: token}}")
	if got := strings.Join(vault.Needs(file), " "); got != "/etc/secretfs/ca.pem" {
		t.Errorf("needs %s", got)
	}
}

// TestDecodeRefuses has the mistakes of newcomers, each with a part of the sentence.
func TestDecodeRefuses(t *testing.T) {
	const at = "address: 'https://v.example', "
	for text, want := range map[string]string{
		"{auth: {method: cert}}":                                                        "address is missing: the URL of the server",
		"{address: v.example:8200, auth: {}}":                                           "want a URL like https://vault.example.org",
		"{address: 'http://v.example', auth: {}}":                                       "want https: over http whoever is on the way",
		"{" + at + "token: x}":                                                          "unknown key",
		"{" + at + "}":                                                                  "auth is missing: how to log in",
		"{" + at + "auth: {token: {ask: true}}}":                                        "method is missing: one of token, token_file",
		"{" + at + "auth: {method: aprole}}":                                            `have "aprole"; did you mean "approle"?`,
		"{" + at + "auth: {method: token}}":                                             "token is missing",
		"{" + at + "auth: {method: token, token: hvs.x}}":                               "what is written here would be readable in the Nix store",
		"{" + at + "auth: {method: token_file}}":                                        "file is missing: where the token is",
		"{" + at + "auth: {method: token, role: x, token: {ask: true}}}":                "unknown key",
		"{" + at + "auth: {method: approle, secret_id: {ask: true}}}":                   "role_id is missing",
		"{" + at + "auth: {method: approle, role_id: x, wrapped: true}}":                "has a meaning together with secret_id only",
		"{" + at + "auth: {method: userpass, password: {ask: true}}}":                   "username is missing",
		"{" + at + "auth: {method: userpass, username: a, password: secret}}":           "what is written here would be readable",
		"{" + at + "auth: {method: kubernetes}}":                                        "role is missing",
		"{" + at + "auth: {method: cert}}":                                              "the method cert needs client_cert and client_key",
		"{" + at + "standbys: [v2.example], auth: {method: token, token: {ask: true}}}": "want the URL of a node, without a path",
		"{" + at + "client_cert: c.pem, auth: {method: token, token: {ask: true}}}":     "needs client_key",
		"{" + at + "auth: hvs.x}":                                                       "a map",
	} {
		n, problems := conf.Parse("policy.yaml", []byte("it: "+text))
		vault.Decode(n.Get("it"), "/etc/secretfs", problems)
		if err := problems.Err(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v\nwant %q in it", text, err, want)
		}
	}
}

// TestKeys: what is read differently has another key, however it is spelt.
func TestKeys(t *testing.T) {
	for entry, want := range map[string]string{
		"{}":                                     "no/path",
		"{field: a}":                             "no/path#a",
		"{path: /v1/kv/x/, field: a}":            "kv/x#a",
		"{path: kv/x, format: json}":             "kv/x",
		"{path: kv/x, format: dotenv}":           "kv/x?format=dotenv",
		"{path: kv/x, version: 3}":               "kv/x?version=3",
		"{path: 'kv/x#a'}":                       "kv/x%23a",
		"{path: 'kv/x%23a'}":                     "kv/x%2523a",
		"{path: kv/x, field: 'a?format=dotenv'}": "kv/x#a%3Fformat=dotenv",
		"{path: pki/issue/a, field: a, data: {b: 1, a: [x, true, null]}}": "pki/issue/a#a?data=%7B%22a%22%3A%5B%22x%22%2Ctrue%2Cnull%5D%2C%22b%22%3A1%7D",
		"{path: pki/issue/a, field: a, data: {a: [x, true, null], b: 1}}": "pki/issue/a#a?data=%7B%22a%22%3A%5B%22x%22%2Ctrue%2Cnull%5D%2C%22b%22%3A1%7D",
	} {
		if got := key(t, entry); got != want {
			t.Errorf("%s: got %q, want %q", entry, got, want)
		}
	}
	for entry, want := range map[string]string{
		"{key: a/b}":                             "secrets of a vault are named by path and field",
		"{path: kv}":                             "want the path of a secret with that of its engine in front",
		"{path: kv/../sys/x}":                    "no name in it may be empty, . or ..",
		"{path: kv//x}":                          "no name in it may be empty, . or ..",
		"{path: kv/x, field: a, format: json}":   "give one of the two",
		"{path: kv/x, format: yaml}":             `want one of json, dotenv; have "yaml"`,
		"{path: kv/x, version: latest}":          "want a whole number of at least 1",
		"{path: kv/x, version: 1, data: {a: b}}": "has no meaning together with data",
		"{path: kv/x, data: a=b}":                "want a map of parameters",
	} {
		n, problems := conf.Parse("policy.yaml", []byte("it: "+entry))
		f := conf.Open(n.Get("it"), problems, append(vault.SecretKeys, "key")...)
		vault.Reference(f, "no/path", nil)
		if err := problems.Err(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v\nwant %q in it", entry, err, want)
		}
	}
}
