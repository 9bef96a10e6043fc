package sops

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/secretfs/secretfs/backend"
	"github.com/secretfs/secretfs/backend/credential"
	"github.com/secretfs/secretfs/backend/sops/keys"
	"github.com/secretfs/secretfs/policy/conf"
)

func decode(t *testing.T, text string) (Settings, error) {
	t.Helper()
	n, report := conf.Parse("policy.yaml", []byte(text))
	if n == nil {
		t.Fatal(report)
	}
	return Decode(n, "/etc/secretfs", report).(Settings), report.Err()
}

func TestDecode(t *testing.T) {
	got, err := decode(t, `
file: secrets/all.json
identities: [keys.txt, /etc/ssh/ssh_host_ed25519_key]
age: {key_files: [a], ssh_key_files: [b], plugins_path: /p}
gnupg: {home: gpg, ssh_key_files: [c]}
vault: {addresses: ["https://vault.example.org:8200"]}
helpers: {user: secrets}
passphrase: {credential: keys}
`)
	want := Settings{
		File: "/etc/secretfs/secrets/all.json", Format: JSON,
		Keys: keys.Config{
			KeyFiles:    []string{"/etc/secretfs/keys.txt", "/etc/ssh/ssh_host_ed25519_key"},
			AgeKeyFiles: []string{"/etc/secretfs/a"}, SSHKeyFiles: []string{"/etc/secretfs/b"}, PluginsPath: "/p",
			GnupgHome: "/etc/secretfs/gpg", PGPSSHKeyFiles: []string{"/etc/secretfs/c"},
			HelperUser: "secrets", VaultAddresses: []string{"https://vault.example.org:8200"},
		},
		Passphrase: credential.Source{Kind: credential.Systemd, Field: "passphrase", Name: "keys"},
	}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v, %v\nwant %+v", got, err, want)
	}
	if got, err := decode(t, "file: x\nformat: ini"); err != nil || got.Format != INI {
		t.Errorf("with a format: %+v, %v", got, err)
	}
	if got, err := decode(t, "file: x\nvault: {addresses: []}\nhelpers: {user: 77}"); err != nil || got.Keys.VaultAddresses == nil || got.Keys.HelperUser != "77" {
		t.Errorf("no addresses, and a number: %+v, %v", got, err)
	}
	for text, want := range map[string]string{
		"file: x\nvault: {addresses: [all]}": "expected the address of a Vault server",
		`file: x
vault: {addresses: ["http://a,http://b"]}`: "expected the address of a Vault server",
		"file: x\nhelpers: {user: -1}":             "want a text",
		"file: x\nhelpers: {user: a/b}":            `no user can be called "a/b"`,
		"file: x\nhelpers: {user: ''}":             "is empty",
		"{}":                                       "file is missing",
		"file: x\naws: {access_key_id: {file: a}}": "want access_key_id and secret_access_key",
		"file: x\naws: {access_key_id: AKIA, secret_access_key: {file: a}}": "would be readable in the Nix store",
		"file: x\ngcp: {credentials: {file: a}, access_token: {file: b}}":   "want one of credentials, which is the JSON of a service account, and access_token",
		"file: x\nazure: {tenant_id: a, client_secret: {file: b}}":          "want tenant_id, client_id and client_secret",
		"file: x\nvault: {token: {file: a}}":                                "goes to no server unless address names one",
		"file: x\nvault: {address: vault:8200}":                             "expected the address of a Vault server",
		"file: x\nvault: {address: 'https://v', namespace: a}":              "has a meaning together with a token only",
		"file: x\nkeyservice: tcp://127.0.0.1:5000":                         `want unix:///path/to/socket, have "tcp://127.0.0.1:5000"`,
		"file: x\nkeyservice: unix://run/s":                                 "want unix:///path/to/socket",
		"file: x\nformat: toml":                                             `want one of yaml, json, dotenv, ini, binary; have "toml"`,
		"file: x\nkey_files: [a]":                                           "unknown key",
		"file: x\nage: {keyfiles: []}":                                      "unknown key",
		"file: x\nidentities: a":                                            "want a list",
	} {
		if _, err := decode(t, text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
}

func TestFormatOf(t *testing.T) {
	for name, want := range map[string]Format{
		"a.yaml": YAML, "a.yml": YAML, "x/y.json": JSON, ".env": Dotenv, "prod.env": Dotenv, "a.ini": INI, "a.txt": Binary, "yaml": Binary,
	} {
		if got := FormatOf(name); got != want {
			t.Errorf("FormatOf(%q) = %s, want %s", name, got, want)
		}
	}
}

// What the schema completes, Decode takes.
func TestSchema(t *testing.T) {
	var schema struct {
		Properties map[string]struct {
			Enum       []Format
			Properties map[string]any
		}
	}
	if err := json.Unmarshal(Schema, &schema); err != nil {
		t.Fatal(err)
	}
	if formats := schema.Properties["format"].Enum; !slices.Equal(formats, Formats) {
		t.Errorf("the formats are %v", formats)
	}
	doc := map[string]any{}
	for name, p := range schema.Properties {
		sub := map[string]any{}
		for k := range p.Properties {
			sub[k] = nil
		}
		if doc[name] = nil; len(sub) > 0 {
			doc[name] = sub
		}
	}
	doc["file"] = "x"
	text, _ := json.Marshal(doc)
	if _, err := decode(t, string(text)); err != nil {
		t.Errorf("%s: %v", text, err)
	}
}

func TestOpen(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "s.yaml"), sample(t, "one"))
	write(t, filepath.Join(dir, "key"), []byte(ring().identity.String()))
	b, err := Open(Settings{
		File: filepath.Join(dir, "s.yaml"), Format: YAML, Keys: keys.Config{KeyFiles: []string{filepath.Join(dir, "key")}},
	}, backend.Env{Timings: backend.Timings{Default: backend.Timing{MaxStale: time.Hour}}})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	s, err := b.Get(t.Context(), "a")
	if err != nil || string(s.Value.Bytes()) != "one" {
		t.Fatalf("Get: %v, %v", s, err)
	}
	s.Value.Destroy()
}

func TestCredentials(t *testing.T) {
	s, err := decode(t, `file: x
aws: {access_key_id: {file: id}, secret_access_key: {credential: aws}}
gcp: {credentials: {secret: gcp/account}}
azure: {tenant_id: tenant, client_id: client, client_secret: {ask: true}}
vault: {addresses: ["https://a:8200"], address: "https://b:8200", token: {command: [print, token]}, namespace: n}
keyservice: unix:///run/sops/keyservice.sock
`)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, cloud := range s.Keys.Clouds {
		for _, c := range cloud.Credentials {
			got = append(got, fmt.Sprintf("%s %s=%s%s", cloud.Type, c.Variable, c.Value, c.Source.Name))
		}
	}
	want := []string{
		"kms AWS_ACCESS_KEY_ID=/etc/secretfs/id", "kms AWS_SECRET_ACCESS_KEY=aws", "gcp_kms GOOGLE_CREDENTIALS=gcp/account",
		"azure_kv AZURE_TENANT_ID=tenant", "azure_kv AZURE_CLIENT_ID=client", "azure_kv AZURE_CLIENT_SECRET=",
		"hc_vault VAULT_TOKEN=", "hc_vault VAULT_NAMESPACE=n",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %q\nwant %q", got, want)
	}
	if !slices.Equal(s.Keys.VaultAddresses, []string{"https://a:8200", "https://b:8200"}) || s.Keys.KeyService != "/run/sops/keyservice.sock" {
		t.Errorf("got %+v", s.Keys)
	}
	if paths := credential.Secrets(s); !slices.Equal(paths, []string{"gcp/account"}) {
		t.Errorf("secrets that unlock it: %q", paths)
	}
}
