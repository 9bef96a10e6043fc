package policy

import "github.com/secretfs/secretfs/policy/conf"

// A Driver decodes the settings of one type of backend: the keys that the
// policy does not know itself. It adds what is wrong with them to report and
// returns its configuration. Relative paths in them are relative to dir. It
// opens no file and asks nobody. Settings belong to it.
type Driver func(settings *conf.Node, dir string, report *conf.Problems) any

// Drivers maps a backend type, as `type:` names it, to its driver.
type Drivers map[string]Driver

// An Env is what a policy means where it says nothing. Of the strings, an
// empty one stands for that of a mount for the whole machine.
type Env struct {
	Drivers   Drivers
	Mount     string // "/run/secrets"
	Control   string // "/run/secretfs/control.sock"
	AuditFile string // "/var/log/secretfs/audit.jsonl"
	// Owner and Group own what the policy gives to nobody, by name or
	// number; "root". A mount for one user needs that user's.
	Owner, Group string
}
