package age

import (
	_ "embed"
	"encoding/json"
	"path/filepath"
	"slices"
	"strings"

	"github.com/secretfs/secretfs/backend/credential"
	"github.com/secretfs/secretfs/policy/conf"
)

// Schema is the JSON schema of what Decode and Reference read.
//
//go:embed schema.json
var Schema json.RawMessage

// extension ends the names of age files.
const extension = ".age"

// SecretKeys are the keys that a secret in an age backend may have.
var SecretKeys = []string{"file"}

// Settings are what the policy says about one backend of type age. Paths are
// absolute.
type Settings struct {
	Dir string // what names of files are relative to
	// Identities, KeyFiles and SSHKeyFiles hold age identities or an ssh
	// private key each, whatever the list.
	Identities, KeyFiles, SSHKeyFiles []string
	PluginsPath                       string
	// Passphrase opens the files among them that take one.
	Passphrase credential.Source
}

// Decode reads Settings from an entry of `backends:` in a policy file that lies
// in dir. All problems go to report; it reads no other file.
func Decode(n *conf.Node, dir string, report *conf.Problems) any {
	f := conf.Open(n, report, "dir", "identities", "key_files", "ssh_key_files", "plugins_path", "passphrase")
	s := Settings{
		Dir:        f.Path("dir", dir, filepath.Clean(dir)),
		Identities: f.Paths("identities", dir), KeyFiles: f.Paths("key_files", dir), SSHKeyFiles: f.Paths("ssh_key_files", dir),
		PluginsPath: f.Text("plugins_path", ""), Passphrase: credential.Decode(f, "passphrase", dir),
	}
	if f.Get("identities") == nil && f.Get("key_files") == nil && f.Get("ssh_key_files") == nil {
		f.Addf("", "no key is named: give identities, key_files or ssh_key_files")
	}
	return s
}

// Needs are the files without which a backend with such Settings does not work.
func (s Settings) Needs() []string {
	return slices.Concat([]string{s.Dir}, s.Identities, s.KeyFiles, s.SSHKeyFiles)
}

// Reference is the key of a secret in `secrets:`: `file`, by default the path of
// the secret with ".age". config is a Settings.
func Reference(f conf.Fields, path string, config any) string {
	if f.Get("key") != nil {
		f.Addf("key", "an age file is one secret and has no keys: name it with file")
	}
	if f.Get("file") == nil {
		return path
	}
	file := f.Required("file")
	if file == "" {
		return path
	}
	if strings.HasSuffix(file, "/") {
		f.Addf("file", "want a file, have the directory %q", file)
	}
	s, _ := config.(Settings)
	return keyOf(s.Dir, file)
}

// keyOf is the key of a file whose name is absolute or relative to dir.
func keyOf(dir, file string) string {
	if !filepath.IsAbs(file) {
		file = filepath.Join(dir, file)
	}
	file = filepath.Clean(file)
	below, ok := strings.CutPrefix(file, strings.TrimSuffix(dir, "/")+"/")
	if !ok {
		return file
	}
	if name, ok := strings.CutSuffix(below, extension); ok && name != "" && !strings.HasSuffix(name, "/") {
		return name
	}
	return "./" + below
}

// pathOf is the file of a key, or false if no file can have it.
func pathOf(dir, key string) (string, bool) {
	if strings.ContainsRune(key, 0) {
		return "", false
	}
	if filepath.IsAbs(key) {
		return key, filepath.Clean(key) == key
	}
	if below, ok := strings.CutPrefix(key, "./"); ok {
		return filepath.Join(dir, below), inside(below)
	}
	return filepath.Join(dir, key) + extension, inside(key)
}

// inside says whether a relative path names something below where it starts.
func inside(path string) bool {
	return filepath.IsLocal(path) && filepath.Clean(path) == path && path != "."
}
