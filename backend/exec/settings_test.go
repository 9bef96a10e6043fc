package exec

import (
	"reflect"
	"strings"
	"testing"

	"github.com/secretfs/secretfs/policy"
)

func parsePolicy(text string) (*policy.Policy, error) {
	return policy.Parse("/etc/secretfs/policy.yaml", []byte(text), policy.Env{Drivers: policy.Drivers{
		"exec": {Settings: Decode, TTL: TTL, SecretKeys: SecretKeys, Reference: Reference},
	}})
}

func TestSettings(t *testing.T) {
	p, err := parsePolicy(`backends:
  rbw: {type: exec, command: [rbw, get, "--field={key}", "{key}/{key}", 5, true, ""], user: alice, env: {LANG: C, N: 1, B: true}, cwd: sub, trim: false}
  own: {type: exec, user: 1000}
secrets:
  plain: {backend: rbw}
  named: {backend: rbw, key: "a b"}
  marked: {backend: rbw, key: "[x]"}
  twice: {backend: rbw, key: "=[x]"}
  none: {backend: rbw, key: ""}
  command: {backend: rbw, command: [op, read, "op://v/{key}/password"]}
  other: {backend: own, command: [pass, show, x]}
`)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]Settings{
		"own": {User: "1000", Trim: true},
		"rbw": {
			Command: []string{"rbw", "get", "--field={key}", "{key}/{key}", "5", "true", ""}, User: "alice",
			Env: []string{"LANG=C", "N=1", "B=true"}, Dir: "/etc/secretfs/sub",
		},
	}
	settings := map[string]Settings{}
	for _, b := range p.Backends {
		if settings[b.Name] = b.Config.(Settings); !reflect.DeepEqual(b.Config, want[b.Name]) || b.TTL != TTL {
			t.Errorf("%s: got %+v, ttl %v, want %+v", b.Name, b.Config, b.TTL, want[b.Name])
		}
	}
	commands := map[string]string{
		"plain": "rbw get --field=plain plain/plain 5 true ", "named": "rbw get --field=a b a b/a b 5 true ",
		"marked": "rbw get --field=[x] [x]/[x] 5 true ", "twice": "rbw get --field==[x] =[x]/=[x] 5 true ",
		"none": "rbw get --field= / 5 true ", "command": "op read op://v/{key}/password", "other": "pass show x",
	}
	keys := map[string]bool{}
	for _, s := range p.Secrets {
		config := settings[s.Backend]
		if got := strings.Join(config.argv(s.Key), " "); got != commands[s.Path] {
			t.Errorf("%s: key %q is %q, want %q", s.Path, s.Key, got, commands[s.Path])
		}
		if keys[s.Key] {
			t.Errorf("%s: another secret has the key %q too", s.Path, s.Key)
		}
		keys[s.Key] = true
	}
}

func TestMistakes(t *testing.T) {
	for name, c := range map[string]struct{ text, want string }{
		"a shell line":    {"backends: {x: {type: exec, command: rbw get x}}", "want a program and its arguments as a list, since no shell takes a line apart"},
		"no placeholder":  {"backends: {x: {type: exec, command: [rbw, get]}}", "no argument has {key} in it"},
		"empty":           {"backends: {x: {type: exec, command: []}}", "want a program and its arguments, as a list of texts"},
		"no program":      {`backends: {x: {type: exec, command: ["", "{key}"]}}`, "want a program and its arguments, as a list of texts"},
		"a list":          {"backends: {x: {type: exec, command: [a, [b]]}}", "want a program and its arguments, as a list of texts"},
		"program by key":  {`backends: {x: {type: exec, command: ["{key}"]}}`, "the program cannot depend on the key"},
		"user":            {"backends: {x: {type: exec, user: 'a:b'}}", `no user can be called "a:b"`},
		"variable":        {"backends: {x: {type: exec, env: {'a=b': c}}}", `no variable can be called "a=b"`},
		"list variable":   {"backends: {x: {type: exec, env: {a: [c]}}}", "want a text, have a list"},
		"unknown":         {"backends: {x: {type: exec, comand: [a]}}", `did you mean "command"`},
		"no command":      {"backends: {x: {type: exec}}\nsecrets: {a: {backend: x}}", "neither the secret nor its backend has one"},
		"key and command": {"backends: {x: {type: exec}}\nsecrets: {a: {backend: x, key: b, command: [c]}}", "has no meaning beside a command of the secret's own"},
		"secret's line":   {"backends: {x: {type: exec}}\nsecrets: {a: {backend: x, command: pass show x}}", "since no shell takes a line apart"},
	} {
		if _, err := parsePolicy(c.text); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", name, err, c.want)
		}
	}
}
