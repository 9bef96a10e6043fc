package dir

import (
	_ "embed"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"

	"github.com/secretfs/secretfs/backend"
	"github.com/secretfs/secretfs/backend/beneath"
	"github.com/secretfs/secretfs/backend/salt"
	"github.com/secretfs/secretfs/policy/conf"
)

// Schema is the JSON schema of what Decode and Reference read.
//
//go:embed schema.json
var Schema json.RawMessage

// SecretKeys are the keys that a secret in a backend of type dir may have.
var SecretKeys = []string{"file"}

// credentials is the one variable that a path may begin with: where the service
// manager puts the credentials of a service depends on its name.
const credentials = "$CREDENTIALS_DIRECTORY"

// Settings are what the policy says about one backend of type dir.
type Settings struct {
	Path string // absolute, or beginning with "$CREDENTIALS_DIRECTORY"
}

// Decode reads Settings from an entry of `backends:` in a policy file that lies
// in dir. All problems go to report; it reads no other file.
func Decode(n *conf.Node, dir string, report *conf.Problems) any {
	f := conf.Open(n, report, "path")
	if f.Get("path") == nil {
		f.Addf("path", "path is missing: the directory of the files")
	}
	if given := f.Text("path", ""); given == credentials || strings.HasPrefix(given, credentials+"/") {
		return Settings{Path: strings.Clone(filepath.Clean(given))}
	}
	return Settings{Path: strings.Clone(f.Path("path", dir, ""))}
}

// Directory is the path where it is on this machine, in this process; "" where
// the service manager has given none.
func (s Settings) Directory() string {
	rest, ok := strings.CutPrefix(s.Path, credentials)
	if !ok {
		return s.Path
	}
	if at := os.Getenv(credentials[1:]); at != "" {
		return filepath.Join(at, rest)
	}
	return ""
}

// Reference is the key of a secret in `secrets:`: `file`, by default the path of
// the secret. config is a Settings.
func Reference(f conf.Fields, path string, config any) string {
	if f.Get("key") != nil {
		f.Addf("key", "a file is one secret and has no keys: name it with file")
	}
	if f.Get("file") == nil {
		return path
	}
	file := f.Required("file")
	s, _ := config.(Settings)
	if filepath.IsAbs(file) {
		below, ok := strings.CutPrefix(filepath.Clean(file), strings.TrimSuffix(s.Path, "/")+"/")
		if !ok {
			f.Addf("file", "want a file below %s, have %s", s.Path, file)
		}
		return strings.Clone(below)
	}
	clean := filepath.Clean(file)
	if file != "" && (!filepath.IsLocal(clean) || clean == "." || strings.HasSuffix(file, "/")) {
		f.Addf("file", "want a file below %s, have %q", s.Path, file)
	}
	return strings.Clone(clean)
}

// Open is the backend.Opener of this package. It touches no file.
func Open(config any, env backend.Env) (backend.Backend, error) {
	versions, err := salt.Take(env.State)
	if err != nil {
		return nil, err
	}
	dir := config.(Settings).Directory()
	if dir == "" {
		return &absent{versions}, nil
	}
	return New(beneath.New(dir), versions), nil
}
