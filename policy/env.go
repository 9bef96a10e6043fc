package policy

import (
	"time"

	"github.com/secretfs/secretfs/policy/conf"
)

// A Driver decodes what the policy says about one type of backend. None of its
// functions opens a file or asks anybody.
type Driver struct {
	// Settings decodes the keys of an entry of `backends:` that the policy does
	// not know itself. It adds what is wrong with them to report and returns its
	// configuration. Relative paths in them are relative to dir. Settings belong
	// to it.
	Settings func(settings *conf.Node, dir string, report *conf.Problems) any
	// TTL is the default of `ttl:`, which has a meaning for a backend that has
	// to be asked; 0 for one that notices changes by itself.
	TTL time.Duration
	// Disk says that a backend of this type keeps ciphertext of its own in the
	// state directory (backend.Env.Disk). OwnCopies says that this is enough to
	// serve without its server after a reboot: it takes offline_max_age, and
	// offline has no meaning.
	Disk, OwnCopies bool
	// SecretKeys are the keys that entries of `secrets:` in such a backend may
	// have beside those of every secret.
	SecretKeys []string
	// Reference makes the key that the backend is asked for of what an entry at
	// path of the mount has under SecretKeys, `key` and nothing else; nil where
	// `key`, by default path, is it. config is what Settings returned.
	Reference func(f conf.Fields, path string, config any) string
	// DirectoryKeys are the keys that entries of `directories:` in such a backend
	// may have beside those of every directory, of which `prefix` is one.
	DirectoryKeys []string
	// Directory makes the key of the directory that an entry of `directories:`
	// shows, of `prefix` and what it has under DirectoryKeys. A backend.Lister needs
	// it, and gives what backend.DirKey makes. nil where `prefix` is the key.
	Directory func(f conf.Fields, config any) string
	// Secrets are the paths of the mount whose secrets unlock the backend; nil
	// where none can.
	Secrets func(config any) []string
}

// Drivers maps a backend type, as `type:` names it, to its driver.
type Drivers map[string]Driver

// An Env is what a policy means where it says nothing. Of the strings, an
// empty one stands for that of a mount for the whole machine.
type Env struct {
	Drivers   Drivers
	Mount     string // "/run/secrets"
	Control   string // "/run/secretfs/control.sock"
	AuditFile string // "/var/log/secretfs/audit.jsonl"
	State     string // "/var/lib/secretfs"
	// Offline decodes what `offline:` of a backend holds; see Driver.Settings.
	Offline func(settings *conf.Node, dir string, report *conf.Problems) any
	// Owner and Group own what the policy gives to nobody, by name or
	// number; "root". A mount for one user needs that user's.
	Owner, Group string
}
