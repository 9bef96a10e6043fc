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
// sops-nix manifest) is parsed into. It is immutable once parsed, every path
// in it is clean and named once, and every backend that it names is there.
type Policy struct {
	// File is where it was read from; relative paths in it are relative to
	// that file's directory and already absolute here.
	File    string
	Mount   string
	Control string
	Audit   Audit
	// State is the directory for what backends keep over a reboot, which is
	// ciphertext. KeepsState says that there is something: a backend that does
	// so, or the policy names the directory.
	State      string
	KeepsState bool
	Linger     time.Duration // how long a backing file outlives its last close
	Backends   []Backend     // sorted by name
	Secrets    []Secret      // in tree order: by path, name by name
	Dirs       []Directory   // in tree order
	// Default owns the directories that no entry of Dirs is about.
	Default *Perm
}

// Audit is the `audit:` section.
type Audit struct {
	File     string
	Sync     string        // SyncNone, SyncInterval or SyncAlways
	Interval time.Duration // for SyncInterval
	Journal  bool          // also to journald, where its socket exists
}

// When the audit log is made to reach the disk.
const (
	SyncNone     = "none"
	SyncInterval = "interval"
	SyncAlways   = "always"
)

// A Backend is one entry of `backends:`. Settings are the keys that the
// parser does not know itself; the driver of that type decodes them.
type Backend struct {
	Name     string
	Type     string
	Timeout  time.Duration // deadline of one fetch
	TTL      time.Duration // how long a value is served without asking again
	MaxStale time.Duration // how long the last good version may be served
	InFlight int           // fetches at a time
	// Offline is what Env.Offline made of `offline:`: how copies are kept for
	// when its server cannot be reached after a reboot. nil keeps none.
	Offline any
	// OfflineMaxAge is how old such a copy may be that is served; 0 is no limit.
	OfflineMaxAge time.Duration
	// Disk says that it keeps something in the state directory.
	Disk bool
	// Timings are those of secrets that have their own, by key.
	Timings  map[string]Timing
	Settings *conf.Node
	// Config is what the registered driver made of Settings.
	Config any
}

// A Timing is what a secret has of its own where its backend has a default.
type Timing struct {
	TTL, MaxStale time.Duration
}

// A Secret is one file of the mount. Where it lies in a dynamic directory, it
// hides what the backend has at that path.
type Secret struct {
	Path    string // relative to the mount, slash separated, clean
	Backend string
	Key     string
	Perm    *Perm
	// Wait is how long a reader waits for a backend that is not up yet.
	Wait time.Duration
	Pos  conf.Pos
}

// A Directory is an entry of `directories:`. One with a Backend is dynamic: a
// sub-tree of that backend, listed and resolved on demand. One without sets
// only who owns the directory. Path "" is the root of the mount.
type Directory struct {
	Path    string
	Backend string
	Key     string // the sub-tree within the backend; "" is the whole
	Perm    *Perm  // of the files in it; its owner and group own the directories too
	DirMode uint32 // of the directories
	Pos     conf.Pos
}
