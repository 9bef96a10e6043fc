package exec

import (
	_ "embed"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/secretfs/secretfs/policy/conf"
)

// Schema is the JSON schema of what Decode and Reference read.
//
//go:embed schema.json
var Schema json.RawMessage

// TTL is how long a value is served without running its command again, where the
// policy says nothing: commands know of no changes.
const TTL = 5 * time.Minute

// SecretKeys are the keys that a secret in a backend of type exec may have.
var SecretKeys = []string{"command"}

// placeholder stands for the key of a secret in an argument.
const placeholder = "{key}"

// Settings are what the policy says about one backend of type exec.
type Settings struct {
	Command []string // nil where every secret has its own
	User    string   // name or number; see backend.HelperCall
	Env     []string // NAME=value
	Dir     string   // absolute, or empty
	// Trim says that the line end behind the secret is no part of it.
	Trim bool
}

// Decode reads Settings from an entry of `backends:` in a policy file that lies
// in dir. All problems go to report; it reads no other file.
func Decode(n *conf.Node, dir string, report *conf.Problems) any {
	f := conf.Open(n, report, "command", "user", "env", "cwd", "trim")
	s := Settings{User: f.Account("user"), Dir: strings.Clone(f.Path("cwd", dir, "")), Trim: f.Bool("trim", true)}
	if f.Get("command") != nil {
		s.Command = command(f)
		if len(s.Command) > 0 && !slices.ContainsFunc(s.Command, hasPlaceholder) {
			f.Addf("command", "no argument has %s in it, so that all secrets would be the same; name the key, or give each secret a command of its own", placeholder)
		}
		if len(s.Command) > 0 && hasPlaceholder(s.Command[0]) {
			f.Addf("command", "the program cannot depend on the key")
		}
	}
	f.Each("env", func(key conf.Key, n *conf.Node) {
		if n.Kind != conf.Text && n.Kind != conf.Number && n.Kind != conf.Bool {
			report.Addf(n.Pos, "want a text, have %s", n.Written())
			return
		}
		if key.Name == "" || strings.ContainsAny(key.Name, "=\x00") || strings.ContainsRune(n.Text, 0) {
			report.Addf(key.Pos, "no variable can be called %q, or have this value", key.Name)
			return
		}
		s.Env = append(s.Env, strings.Clone(key.Name+"="+n.Text))
	})
	return s
}

func hasPlaceholder(arg string) bool { return strings.Contains(arg, placeholder) }

// command reads a program and its arguments. An empty argument is one.
func command(f conf.Fields) []string {
	n := f.Get("command")
	if n.Kind == conf.Text {
		f.Addf("command", "want a program and its arguments as a list, since no shell takes a line apart: [rbw, get, %q]", placeholder)
		return nil
	}
	var argv []string
	wrong := len(f.List("command")) == 0
	for _, arg := range f.List("command") {
		switch {
		case arg.Kind != conf.Text && arg.Kind != conf.Number && arg.Kind != conf.Bool, strings.ContainsRune(arg.Text, 0):
			wrong = true
		default:
			argv = append(argv, strings.Clone(arg.Text))
		}
	}
	if wrong || argv[0] == "" {
		f.Addf("command", "want a program and its arguments, as a list of texts")
		return nil
	}
	return argv
}

// Reference is the key of a secret in `secrets:`: its `key`, by default its path, or
// its `command`. config is a Settings.
func Reference(f conf.Fields, path string, config any) string {
	s, _ := config.(Settings)
	if f.Get("command") != nil {
		if f.Get("key") != nil {
			f.Addf("key", "has no meaning beside a command of the secret's own")
		}
		return ownKey(command(f))
	}
	if s.Command == nil {
		f.Addf("command", "command is missing: neither the secret nor its backend has one")
	}
	key := f.Text("key", path)
	if strings.ContainsRune(key, 0) {
		f.Addf("key", "no argument can hold the character 0")
	}
	return plainKey(strings.Clone(key))
}

// Two kinds of key: what replaces the placeholder, and a command in JSON. The first
// has a mark before it where it could be taken for the second.
const (
	ownMark   = "["
	plainMark = "="
)

func ownKey(argv []string) string {
	text, err := json.Marshal(argv)
	if err != nil || argv == nil {
		return ownMark // is a problem of the policy already
	}
	return string(text)
}

func plainKey(key string) string {
	if strings.HasPrefix(key, ownMark) || strings.HasPrefix(key, plainMark) {
		return plainMark + key
	}
	return key
}

// argv is the command of a key; nil if it has none.
func (s *Settings) argv(key string) []string {
	if strings.HasPrefix(key, ownMark) {
		var argv []string
		if json.Unmarshal([]byte(key), &argv) != nil {
			return nil
		}
		return argv
	}
	key = strings.TrimPrefix(key, plainMark)
	argv := make([]string, len(s.Command))
	for i, arg := range s.Command {
		argv[i] = strings.ReplaceAll(arg, placeholder, key)
	}
	return argv
}
