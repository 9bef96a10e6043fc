package systemdcreds

import (
	_ "embed"
	"encoding/json"
	"path"
	"path/filepath"
	"strings"
	"time"

	"github.com/secretfs/secretfs/policy/conf"
)

// Schema is the JSON schema of what Decode and Reference read.
//
//go:embed schema.json
var Schema json.RawMessage

// TTL is how long a value is served without decrypting it again, where the policy
// says nothing. Changes of files are noticed; that a credential has run out is not.
const TTL = time.Hour

// SecretKeys are the keys that a secret in a backend of type systemd-creds may have.
var SecretKeys = []string{"file", "name"}

// Settings are what the policy says about one backend of type systemd-creds.
type Settings struct {
	Path string // absolute
}

// Decode reads Settings from an entry of `backends:` in a policy file that lies
// in dir. All problems go to report; it reads no other file.
func Decode(n *conf.Node, dir string, report *conf.Problems) any {
	f := conf.Open(n, report, "path")
	if f.Get("path") == nil {
		f.Addf("path", "path is missing: the directory of the credentials, such as /etc/credstore.encrypted")
	}
	return Settings{Path: strings.Clone(f.Path("path", dir, ""))}
}

// The extension of credentials may be left out where they are named: files below
// /etc/credstore.encrypted have none, and those that people make mostly do.
const extension = ".cred"

const (
	exactMark = "./" // begins a key that is the file's very name
	nameMark  = "//" // is between that and the name in the credential; no clean path has it
)

// Reference is the key of a secret in `secrets:`: its `file`, by default its path with
// or without ".cred", and its `name`, where that is given. config is a Settings.
func Reference(f conf.Fields, path string, config any) string {
	if f.Get("key") != nil {
		f.Addf("key", "a credential is one secret and has no keys: name it with file")
	}
	key := path
	if f.Get("file") != nil {
		key = exactMark + file(f, config.(Settings).Path)
	}
	if f.Get("name") != nil {
		name := f.Required("name")
		if !validName(name) {
			f.Addf("name", "no credential can be called %q", name)
		}
		key += nameMark + name
	}
	return strings.Clone(key)
}

func file(f conf.Fields, dir string) string {
	given := f.Required("file")
	clean := filepath.Clean(given)
	if filepath.IsAbs(given) {
		below, ok := strings.CutPrefix(clean, strings.TrimSuffix(dir, "/")+"/")
		if !ok {
			f.Addf("file", "want a file below %s, have %s", dir, given)
		}
		return below
	}
	if given != "" && (!filepath.IsLocal(clean) || clean == "." || strings.HasSuffix(given, "/")) {
		f.Addf("file", "want a file below %s, have %q", dir, given)
	}
	return clean
}

// validName follows credential_name_valid of systemd: a file name that begins a
// descriptor's name too.
func validName(name string) bool {
	return name != "" && name != "." && name != ".." && len(name) <= 255 && !strings.ContainsFunc(name, func(c rune) bool {
		return c == '/' || c == ':' || c < ' ' || c == 0x7f
	})
}

// A target is what a key means.
type target struct {
	files []string // names below the directory, the first that exists is it
	name  string   // given by the policy; else that of the file counts
}

func targetOf(key string) target {
	var t target
	key, t.name, _ = strings.Cut(key, nameMark)
	if exact, ok := strings.CutPrefix(key, exactMark); ok {
		t.files = []string{exact}
	} else {
		t.files = []string{key + extension, key}
	}
	return t
}

// names are the names that the credential in file may have been given. Without any
// choice of people's, systemd-creds takes the file's; they choose it without the
// extension, as in LoadCredentialEncrypted=NAME:FILE.
func (t target) names(file string) []string {
	if t.name != "" {
		return []string{t.name}
	}
	base := path.Base(file)
	if short, ok := strings.CutSuffix(base, extension); ok && short != "" {
		return []string{base, short}
	}
	return []string{base}
}
