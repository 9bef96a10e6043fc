// Package credential says where the credentials of a backend come from: the
// links of the unlocking chain. It decodes them; what goes and gets one is the
// process that serves (backend.Env.Credential).
package credential

import (
	"fmt"
	"strings"

	"github.com/secretfs/secretfs/policy/conf"
)

// A Kind tells the kinds of Source apart.
type Kind uint8

// The kinds of Source.
const (
	None    Kind = iota
	File         // a file, or one KEY=VALUE line of it
	Systemd      // $CREDENTIALS_DIRECTORY (systemd.exec(5), CREDENTIALS)
	Secret       // another secret of the same policy
	Command      // what a program prints
	Ask          // what somebody types at `secretfs unlock`
)

// A Source is where one credential comes from. The zero Source is none.
type Source struct {
	Kind Kind
	// Field is what the credential is, as the backend's settings call it
	// ("password"): it tells several of one backend apart.
	Field string
	// Prompt is what Ask asks for; Field where empty.
	Prompt string
	// Name is the absolute path of a File, the name of a Systemd credential, or
	// the path of a Secret relative to the mount.
	Name string
	// Key picks a line of a File; empty for the whole.
	Key string
	// Argv is a Command, which no shell sees, and User as whom it runs; nobody in
	// particular where empty.
	Argv []string
	User string
}

// Given says that there is such a credential.
func (s Source) Given() bool { return s.Kind != None }

// String names the place, for errors. It holds no secret.
func (s Source) String() string {
	switch s.Kind {
	case File:
		if s.Key != "" {
			return fmt.Sprintf("%s from line %s= of %s", s.Field, s.Key, s.Name)
		}
		return fmt.Sprintf("%s from file %s", s.Field, s.Name)
	case Systemd:
		return fmt.Sprintf("%s from systemd credential %s", s.Field, s.Name)
	case Secret:
		return fmt.Sprintf("%s from secret %s", s.Field, s.Name)
	case Command:
		return fmt.Sprintf("%s from command %s", s.Field, s.Argv[0])
	case Ask:
		return s.Field + " from secretfs unlock"
	}
	return "no " + s.Field
}

// Decode reads the credential at key of a backend's settings. Relative paths of
// files are relative to dir. What is wrong goes to the problems of f.
func Decode(f conf.Fields, key, dir string) Source {
	s := Source{Field: key}
	n := f.Get(key)
	if n == nil {
		return s
	}
	if n.Kind != conf.Map {
		f.Addf(key, "want %s: what is written here would be readable in the Nix store, in backups and for whoever may read the policy", wanted)
		return s
	}
	m := f.Map(key, keys...)
	given := make([]string, 0, 2)
	for _, link := range links {
		if m.Get(link.key) != nil {
			given = append(given, link.key)
			s.Kind = link.kind
		}
	}
	if len(given) != 1 {
		f.Addf(key, "want one of %s; have %s", wanted, orNone(given))
		return Source{Field: key}
	}
	if m.Get("key") != nil && s.Kind != File {
		m.Addf("key", "has a meaning together with file only")
	}
	if m.Get("user") != nil && s.Kind != Command {
		m.Addf("user", "has a meaning together with command only")
	}
	s.fill(m, dir)
	return s
}

const wanted = "{file: …}, {credential: …}, {secret: …}, {command: […]}, {ask: true}"

var keys = []string{"file", "key", "credential", "secret", "command", "user", "ask"}

var links = []struct {
	key  string
	kind Kind
}{{"file", File}, {"credential", Systemd}, {"secret", Secret}, {"command", Command}, {"ask", Ask}}

func orNone(given []string) string {
	if len(given) == 0 {
		return "none"
	}
	return strings.Join(given, " and ")
}

func (s *Source) fill(m conf.Fields, dir string) {
	switch s.Kind {
	case File:
		s.Name = strings.Clone(m.Path("file", dir, ""))
		s.Key = strings.Clone(m.Text("key", ""))
	case Systemd:
		s.Name = strings.Clone(m.Required("credential"))
		if strings.ContainsAny(s.Name, "/\x00") || s.Name == "." || s.Name == ".." {
			m.Addf("credential", "want the name of a credential, have %q", s.Name)
		}
	case Secret:
		s.Name = strings.Clone(strings.Trim(m.Required("secret"), "/"))
	case Command:
		s.Argv = m.Texts("command", nil)
		if len(s.Argv) == 0 {
			m.Addf("command", "want a program and its arguments, as a list")
			s.Argv = []string{""}
		}
		s.User = m.Account("user")
	case Ask:
		if !m.Bool("ask", true) {
			m.Addf("ask", "want true; leave the credential out to have none")
		}
	}
}
