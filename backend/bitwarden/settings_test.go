package bitwarden_test

import (
	"strings"
	"testing"

	"github.com/secretfs/secretfs/backend"
	"github.com/secretfs/secretfs/backend/bitwarden"
	"github.com/secretfs/secretfs/backend/bitwarden/api"
	"github.com/secretfs/secretfs/policy"
)

// parse reads a policy whose backend has the settings, and whose secret the keys.
func parse(t *testing.T, settings, secret string) (bitwarden.Settings, string, string) {
	t.Helper()
	text := "backends:\n  bw: {type: bitwarden, " + settings + "}\nsecrets:\n  a/b: {backend: bw" + secret + "}\n"
	p, err := policy.Parse("p.yaml", []byte(text), policy.Env{Drivers: policy.Drivers{"bitwarden": {
		Settings: bitwarden.Decode, SecretKeys: bitwarden.SecretKeys, Reference: bitwarden.Reference, TTL: bitwarden.DefaultTTL,
		DirectoryKeys: bitwarden.DirectoryKeys, Directory: bitwarden.Directory, Disk: true, OwnCopies: true,
	}}})
	if err != nil {
		return bitwarden.Settings{}, "", err.Error()
	}
	return p.Backends[0].Config.(bitwarden.Settings), p.Secrets[0].Key, ""
}

const good = "client_id: user.x, client_secret: {file: k}, password: {file: p}"

func TestServers(t *testing.T) {
	us := api.Hosts{Identity: "https://identity.bitwarden.com", API: "https://api.bitwarden.com", Notifications: "https://notifications.bitwarden.com"}
	eu := api.Hosts{Identity: "https://identity.bitwarden.eu", API: "https://api.bitwarden.eu", Notifications: "https://notifications.bitwarden.eu"}
	own := api.Hosts{Identity: "https://v.test/x/identity", API: "https://v.test/x/api", Notifications: "https://v.test/x/notifications"}
	elsewhere := own
	elsewhere.API = "https://api.test"
	for server, want := range map[string]api.Hosts{
		"": us, "server: US, ": us, "server: 'https://vault.bitwarden.com/', ": us, "server: eu, ": eu, "server: vault.bitwarden.eu, ": eu,
		"server: 'https://v.test/x/', ": own, "server: 'https://v.test/x', api_url: 'https://api.test/', ": elsewhere,
	} {
		if s, _, wrong := parse(t, server+good, ""); s.Hosts != want || wrong != "" {
			t.Errorf("%q: %+v, %s", server, s.Hosts, wrong)
		}
	}
}

func TestWhatCannotWorkIsRefused(t *testing.T) {
	for settings, text := range map[string]string{
		"client_id: user.x, client_secret: {file: k}":                                   "password is missing: the API key only shows who we are",
		"email: a@b, server: 'https://v.test'":                                          "password is missing: the master password decrypts",
		"server: 'https://v.test', password: {file: p}":                                 "email is missing",
		"client_id: user.x, password: {file: p}, email: a@b":                            "client_secret is missing",
		"client_secret: {file: k}, password: {file: p}":                                 "client_id is missing",
		"client_id: organization.x, client_secret: {file: k}, password: {file: p}":      "reads no vault",
		"email: a@b, password: {file: p}":                                               "sends a code by mail",
		"server: 'http://v.test', " + good:                                              "want https",
		"password: hunter2, client_id: user.x, client_secret: {file: k}":                "Nix store",
		good + ", kdf_memory: lots":                                                     "whole number",
		good + ", pasword: {file: x}":                                                   `did you mean "password"`,
		good + ", offline: {host_key: x}":                                               "keeps a copy by itself",
		"server: 'https://v.test', email: a@b, password: {file: p}, client_cert: c.pem": "needs client_key",
	} {
		if _, _, wrong := parse(t, settings, ""); !strings.Contains(wrong, text) {
			t.Errorf("%s: %q does not say %q", settings, wrong, text)
		}
	}
	for _, settings := range []string{
		good, good + ", offline_max_age: 24h", "email: a@b, password: {ask: true}", "email: a@b, password: {file: p}, totp: {file: t}",
		"server: 'https://v.test', email: a@b, password: {file: p}", "client_id: {file: k, key: ID}, client_secret: {file: k}, password: {file: p}",
		good + ", headers: {CF-Access-Client-Id: x, CF-Access-Client-Secret: {file: h}}",
	} {
		if _, _, wrong := parse(t, settings, ""); wrong != "" {
			t.Errorf("%s: %s", settings, wrong)
		}
	}
}

func TestReferences(t *testing.T) {
	for keys, want := range map[string]string{
		"":                                 "item:a/b",
		", item: Mail":                     "item:Mail",
		", item: 'A? 100%'":                "item:A%3F 100%25",
		", item: Mail, field: totp":        "item:Mail?field=totp",
		", name: Mail, user: me":           "item:Mail?loose=1&user=me",
		", name: Mail, type: note":         "item:Mail?kind=note&loose=1",
		", item: M, folder: F, uri: x.com": "item:M?folder=F&uri=x.com",
		", item: M, attachment: k.pem":     "item:M?attachment=k.pem",
	} {
		if _, key, wrong := parse(t, good, keys); key != want || wrong != "" {
			t.Errorf("%s: key %q, want %q; %s", keys, key, want, wrong)
		}
	}
	for keys, text := range map[string]string{
		", key: x":                           "name one with item",
		", item: a, name: b":                 "sopsWarden's word for item",
		", kind: login, type: note":          "sopsWarden's word for kind",
		", kind: secret":                     "want one of login, note",
		", item: ''":                         "is empty",
		", item: a, attachment: b, field: c": "no meaning together with attachment",
		", itm: a":                           `did you mean "item"`,
	} {
		if _, _, wrong := parse(t, good, keys); !strings.Contains(wrong, text) {
			t.Errorf("%s: %q does not say %q", keys, wrong, text)
		}
	}
}

func TestDirectories(t *testing.T) {
	w := newWorld(t)
	folder := w.server.AddFolder(w.account, w.seal("Work"))
	inside := w.login(w.user, "db", map[string]string{"password": plain})
	inside["folderId"] = folder
	id := w.server.Add(w.account, inside)
	w.add("elsewhere", "x")
	b := w.open()
	for place, want := range map[string][]backend.Item{
		"":                 {{Name: "collections", Key: "collections", Dir: true}, {Name: "folders", Key: "folders", Dir: true}, {Name: "items", Key: "items", Dir: true}},
		"folders":          {{Name: "Work", Key: "folder=" + folder, Dir: true, ID: folder}},
		"folder=" + folder: {{Name: "db", Key: "item:" + id, ID: id}},
		"folder=work":      {{Name: "db", Key: "item:" + id, ID: id}},
		"collections":      nil,
	} {
		got, err := b.Entries(t.Context(), place)
		if err != nil || len(got) != len(want) {
			t.Errorf("%q: %+v, %v", place, got, err)
			continue
		}
		for i := range got {
			if got[i] != want[i] {
				t.Errorf("%q: %+v, want %+v", place, got[i], want[i])
			}
		}
	}
	if _, err := b.Entries(t.Context(), "folder=nope"); err == nil {
		t.Error("a folder that is not there is listed")
	}
	want(t, b, "item:"+id, plain)
}
