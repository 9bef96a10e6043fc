// Package policy reads the policy file, checks it whole, and decides who may
// read what. Deciding is pure: no I/O, no clock, no name service. The package
// knows neither the filesystem nor any backend; what a backend's settings mean
// is told to the parser by whoever registers the backend.
package policy

import (
	"time"

	"github.com/secretfs/secretfs/policy/conf"
)

// A Policy is the internal form that every input (the YAML file, and later a
// sops-nix manifest) is parsed into. It is immutable once parsed.
type Policy struct {
	// File is where it was read from; relative paths in it are relative to
	// that file's directory and already absolute here.
	File     string
	Mount    string
	Control  string
	Audit    Audit
	Linger   time.Duration // how long a backing file outlives its last close
	Backends []Backend     // sorted by name
	Secrets  []Secret      // sorted by path
	Dirs     []Directory   // sorted by path
}

// Audit is the `audit:` section.
type Audit struct {
	File     string
	Sync     string        // "none", "interval" or "always"
	Interval time.Duration // for Sync "interval"
	Journal  bool
}

// A Backend is one entry of `backends:`. Settings are the keys that the
// parser does not know itself; the driver of that type decodes them.
type Backend struct {
	Name     string
	Type     string
	Timeout  time.Duration // deadline of one fetch
	MaxStale time.Duration // how long the last good version may be served
	Settings *conf.Node
	// Config is what the registered driver made of Settings.
	Config any
}

// A Secret is one file of the mount.
type Secret struct {
	Path    string // relative to the mount, slash separated, clean
	Backend string
	Key     string
	Perm    *Perm
	Pos     conf.Pos
}

// A Directory is a sub-tree of a backend that is listed and resolved on demand.
// Path "" is the root of the mount.
type Directory struct {
	Path    string
	Backend string
	Key     string // the sub-tree within the backend; "" is the whole
	Perm    *Perm  // for the files in it
	DirMode uint32 // for the directories
	Pos     conf.Pos
}
