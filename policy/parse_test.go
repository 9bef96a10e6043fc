package policy_test

import (
	"errors"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/secretfs/secretfs/policy"
	"github.com/secretfs/secretfs/policy/conf"
)

// drivers knows one type of backend, "sops", with the one key "file".
var drivers = policy.Drivers{"sops": {Settings: func(settings *conf.Node, dir string, report *conf.Problems) any {
	f := conf.Open(settings, report, "file")
	f.Required("file")
	return f.Path("file", dir, "")
}}}

func parse(text string) (*policy.Policy, error) {
	return policy.Parse("/etc/secretfs/policy.yaml", []byte(text), policy.Env{Drivers: drivers})
}

func mustParse(t testing.TB, text string) *policy.Policy {
	t.Helper()
	p, err := parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

const oneBackend = "backends: {main: {type: sops, file: s.yaml}}\n"

func TestParseExample(t *testing.T) {
	text, err := os.ReadFile("testdata/policy.yaml")
	if err != nil {
		t.Fatal(err)
	}
	p := mustParse(t, string(text))
	p.Backends[0].Settings = nil
	for i := range p.Secrets {
		p.Secrets[i].Pos = conf.Pos{}
	}
	for i := range p.Dirs {
		p.Dirs[i].Pos = conf.Pos{}
	}
	root := &policy.Perm{Owner: "root", Group: "root", Mode: 0o400}
	want := &policy.Policy{
		File:    "/etc/secretfs/policy.yaml",
		Mount:   "/run/secrets",
		Control: "/run/secretfs/control.sock",
		State:   "/var/lib/secretfs",
		Audit:   policy.Audit{File: "/var/log/secretfs/audit.jsonl", Sync: "interval", Interval: time.Second, Journal: true},
		Linger:  30 * time.Second,
		Backends: []policy.Backend{{
			Name: "main", Type: "sops", Timeout: 5 * time.Second, MaxStale: 24 * time.Hour, OfflineMaxAge: 720 * time.Hour,
			InFlight: 16, Config: "/etc/secretfs/secrets.yaml",
		}},
		Secrets: []policy.Secret{
			{Path: "apps/legacy/password", Backend: "main", Key: "apps/legacy/password", Perm: &policy.Perm{Owner: "legacy", Group: "root", Mode: 0o400}},
			{Path: "backup/passphrase", Backend: "main", Key: "backup/passphrase", Perm: &policy.Perm{
				Owner: "1000", Group: "100", Mode: 0o400,
				Only: policy.Only{Users: []string{"restic", "1000"}, Groups: []string{"backup"}},
			}},
			{Path: "mem0/token", Backend: "main", Key: "mem0/api/token", Perm: &policy.Perm{
				Owner: "mem0", Group: "mem0", Mode: 0o440,
				Only: policy.Only{Units: []string{"mem0.service"}, Executables: []string{"/run/current-system/sw/bin/mem0"}},
			}},
			{Path: "voyage-api-key", Backend: "main", Key: "voyage-api-key", Perm: root},
		},
		Dirs: []policy.Directory{
			{Path: "apps", Backend: "main", Key: "kv/apps", Perm: &policy.Perm{Owner: "apps", Group: "root", Mode: 0o440}, DirMode: 0o750},
			{Path: "mem0", Perm: &policy.Perm{Owner: "mem0", Group: "root", Mode: 0o400}, DirMode: 0o700},
		},
		Default: root,
	}
	if !reflect.DeepEqual(p, want) {
		t.Errorf("got  %+v\nwant %+v", p, want)
	}
}

// A policy that says nothing means what the Env says, and what a mount for the
// whole machine needs where that says nothing either.
func TestParseDefaults(t *testing.T) {
	p := mustParse(t, "{}")
	if p.Mount != "/run/secrets" || p.Control != "/run/secretfs/control.sock" || p.Audit.File != "/var/log/secretfs/audit.jsonl" {
		t.Errorf("a mount for the machine has %+v", p)
	}
	env := policy.Env{Mount: "/m", Control: "/c", AuditFile: "/a", Owner: "1000", Group: "100"}
	p, err := policy.Parse("/home/x/policy.json", []byte(`{}`), env)
	if err != nil {
		t.Fatal(err)
	}
	if p.Mount != "/m" || p.Control != "/c" || p.Audit.File != "/a" || p.Default.Owner != "1000" || p.Default.Group != "100" {
		t.Errorf("a mount for a user has %+v, %+v", p, p.Default)
	}
	p, err = policy.Parse("/home/x/policy.json", []byte(`{"mount":"/n/","control":"d","audit":{"file":"../e"},"linger":"0s"}`), env)
	if err != nil {
		t.Fatal(err)
	}
	if p.Mount != "/n" || p.Control != "/home/x/d" || p.Audit.File != "/home/e" || p.Linger != 0 {
		t.Errorf("relative paths became %+v", p)
	}
}

func TestPerms(t *testing.T) {
	p := mustParse(t, oneBackend+`
defaults: {owner: app, mode: "440", only: {users: [app]}}
secrets:
  a: {}
  b: {mode: "0440"}
  c: {only: {units: [c.service]}}
  d: {owner: "0042", gid: 7}
  e: {owner: 42, group: "7"}
  f: {uid: 42, gid: 7, key: ""}
`)
	byPath := map[string]policy.Secret{}
	for _, s := range p.Secrets {
		byPath[s.Path] = s
	}
	if a, b := byPath["a"].Perm, byPath["b"].Perm; a != b || a != p.Default {
		t.Error("equal permissions are not one")
	}
	if d, e, f := byPath["d"].Perm, byPath["e"].Perm, byPath["f"].Perm; d != e || e != f {
		t.Errorf("the same numbers differ: %v, %v, %v", d, e, f)
	}
	want := policy.Perm{Owner: "app", Group: "root", Mode: 0o440, Only: policy.Only{Units: []string{"c.service"}}}
	if got := *byPath["c"].Perm; !reflect.DeepEqual(got, want) {
		t.Errorf("an only of its own gives %+v, want %+v", got, want)
	}
	if byPath["f"].Key != "" {
		t.Errorf(`key: "" became %q`, byPath["f"].Key)
	}
}

// A backend's driver sees its own settings only, and what it keeps of them
// does not depend on the document.
func TestDriver(t *testing.T) {
	var settings *conf.Node
	env := policy.Env{Drivers: policy.Drivers{"x": {Settings: func(n *conf.Node, dir string, report *conf.Problems) any {
		settings = n
		conf.Open(n, report, "a").Addf("b", "in %s", dir)
		return nil
	}}}}
	_, err := policy.Parse("/d/f", []byte("backends:\n  m:\n    timeout: 1s\n    type: x\n    max_stale: 0s\n    a: {b: c}\n"), env)
	if err == nil || err.Error() != "/d/f:2:3: backends.m: in /d" {
		t.Errorf("the driver's problem reads %v", err)
	}
	if len(settings.Keys()) != 1 || settings.Get("a").Get("b").Text != "c" {
		t.Errorf("the driver got %v", settings.Keys())
	}
}

// All mistakes of a policy are told in one go: whoever mends one per run gives
// up before the last.
func TestAllAtOnce(t *testing.T) {
	text, err := os.ReadFile("testdata/broken.yaml")
	if err != nil {
		t.Fatal(err)
	}
	want, err := os.ReadFile("testdata/broken.txt")
	if err != nil {
		t.Fatal(err)
	}
	_, err = policy.Parse("broken.yaml", text, policy.Env{Drivers: drivers})
	if err == nil {
		t.Fatal("a broken policy was taken")
	}
	var problems *conf.Problems
	if !errors.As(err, &problems) {
		t.Errorf("%T is no *conf.Problems", err)
	}
	if got := err.Error() + "\n"; got != string(want) {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if n := strings.Count(string(want), "\n"); n < 40 {
		t.Errorf("only %d problems", n)
	}
}

// What a policy of one mistake says. Those that stand beside others are in
// testdata/broken.yaml.
func TestParseRefuses(t *testing.T) {
	long := strings.Repeat("x", 256)
	for _, c := range []struct{ name, doc, want string }{
		{"no map", "- x", "policy.yaml:1:1: want a map of settings, have a list"},
		{"root as mount", "mount: //", `policy.yaml:1:8: mount: the mount cannot cover the root directory`},
		{"mount of a wrong type", "mount: [x]", `policy.yaml:1:8: mount: want a text, have a list`},
		{"secrets of a wrong type", "secrets: [x]", `policy.yaml:1:10: secrets: want a map, have a list`},
		{"no backend", "secrets: {a: {}}", `policy.yaml:1:11: secrets.a: backend is missing; none are known here`},
		{"a backend that is not there", "secrets: {a: {backend: main}}", `policy.yaml:1:24: secrets.a.backend: unknown backend "main"; none are known here`},
		{"a backend without a name", `backends: {"": {type: sops, file: x}}`, `policy.yaml:1:12: backends."": want a name of 1 to 255 bytes without control characters`},
		{"a long name", oneBackend + "secrets: {a/" + long + ": {}}", "policy.yaml:2:11: secrets.a/" + long + ": the path has a name of 256 bytes in it; the limit is 255"},
		{"a long path", `{"secrets":{"` + strings.Repeat("xxx/", 1024) + `":{"backend":"m"}},"backends":{"m":{"type":"sops","file":"x"}}}`, "policy.yaml:1:13: secrets." + strings.Repeat("xxx/", 1024) + ": the path is 4096 bytes long; the limit is 4095"},
		{"a secret twice", oneBackend + "secrets: {a: {}, a: {}}", `policy.yaml:2:18: secrets.a: key "a" is given twice, first at 2:11`},
		{"a directory at a secret's path", oneBackend + "secrets: {a/b: {}}\ndirectories: {a/b: {}}", `policy.yaml:3:15: directories.a/b: "a/b" cannot be a directory: it is the secret at 2:11`},
		{"a secret below a secret, names between", oneBackend + "secrets: {a: {}, a-b: {}, a.b: {}, a/b/c: {}}", `policy.yaml:2:36: secrets.a/b/c: "a" cannot be a directory: it is the secret at 2:11`},
		{"no interval", "audit: {interval: 0s}", `policy.yaml:1:19: audit.interval: must be more than 0; use sync: always`},
		{"an idle interval", "audit: {sync: none, interval: 2s}", `policy.yaml:1:31: audit.interval: has a meaning with sync: interval only`},
		{"an executable of the mount", "defaults: {only: {executables: [/run/secrets/x]}}", `policy.yaml:1:33: defaults.only.executables.0: "/run/secrets/x" lies in the mount`},
		{"a slice", "defaults: {only: {units: [system.slice]}}", `policy.yaml:1:27: defaults.only.units.0: want the full name of a unit that has processes, like "mem0.service"; have "system.slice"`},
		{"a control socket in the mount", "control: /run/secrets/c", `policy.yaml:1:10: control: "/run/secrets/c" lies in the mount`},
		{"a mount over the control socket", "mount: /run", `policy.yaml:1: "/run/secretfs/control.sock" lies in the mount`},
		{"a log in the mount", "mount: /m\naudit: {file: /m/a}", `policy.yaml:2:15: audit.file: "/m/a" lies in the mount`},
		{"an octal owner", `defaults: {owner: 010}`, `policy.yaml:1:19: defaults.owner: want a whole number from 0 to 4294967294, have 010`},
		{"a broken number", `defaults: {only: {groups: [1.5, 1e3, 0x10]}}`, `policy.yaml:1:28: defaults.only.groups.0: want a whole number from 0 to 4294967294, have 1.5
policy.yaml:1:33: defaults.only.groups.1: want a whole number from 0 to 4294967294, have 1e3
policy.yaml:1:38: defaults.only.groups.2: want a whole number from 0 to 4294967294, have 0x10`},
		{"an empty owner", `defaults: {owner: ""}`, `policy.yaml:1:19: defaults.owner: want the name or number of a user or group, have ""`},
	} {
		t.Run(c.name, func(t *testing.T) {
			p, err := policy.Parse("policy.yaml", []byte(c.doc), policy.Env{Drivers: drivers})
			if p != nil || err == nil {
				t.Fatalf("parsed %+v, error %v", p, err)
			}
			if err.Error() != c.want {
				t.Errorf("got  %s\nwant %s", err, c.want)
			}
		})
	}
}

func TestParseAccepts(t *testing.T) {
	for _, doc := range []string{
		"{}",
		"secrets:\ndirectories:\nbackends:\ndefaults:\naudit:\n",
		oneBackend + "secrets: {a: , b: ~, '..c': {}, ' d': {}, ü/é: {}, 123: {}, .users-x: {}, x/.users: {}}",
		oneBackend + `directories: {"": {backend: main}, a: {}, a/b: {backend: main, key: /x/}}`,
		`{"secrets":{"a":{"backend":"m","owner":null,"only":null}},"backends":{"m":{"type":"sops","file":"x"}}}`,
	} {
		mustParse(t, doc)
	}
}

// The mount of a policy that has got errors is found where it still says so.
func TestControlOf(t *testing.T) {
	for doc, want := range map[string]string{
		"control: c.sock\nmont: /x\n":            "/etc/secretfs/c.sock",
		"control: /run/c.sock\ncontrol: /x\n":    "/run/c.sock",
		`{"control": "c", "secrets": {"": 5}}`:   "/etc/secretfs/c",
		"contrl: c.sock\n":                       "",
		"control: 5\n":                           "",
		"control: ''\n":                          "",
		"control: c.sock\nsecrets: {a: *gone}\n": "",
		"":                                       "",
	} {
		if got := policy.ControlOf("/etc/secretfs/policy.yaml", []byte(doc)); got != want {
			t.Errorf("%q: got %q, want %q", doc, got, want)
		}
	}
}
