package backend

import (
	"context"
	"time"

	"github.com/secretfs/secretfs/backend/secret"
)

// A Copy is an answer of a Remote, kept for when its source cannot be reached
// after a reboot.
type Copy struct {
	Key     string
	Version Version
	// Fetched is when the source last said so, Boot which run of the kernel that
	// was in.
	Fetched time.Time
	Boot    string
	Value   *secret.Value
}

// Copies keeps one Copy of each key over a reboot, encrypted. Its methods are safe
// for concurrent use.
type Copies interface {
	// Save replaces the copy of c.Key, on the disk. c stays the caller's.
	Save(c Copy) error
	// Load gives it back; the caller destroys its Value. The error wraps
	// fs.ErrNotExist where there is none. A copy that is damaged, or of another
	// key or source, is an error and never an answer.
	Load(ctx context.Context, key string) (Copy, error)
	// Remove forgets it. None is no error.
	Remove(key string) error
	// Retain removes the copies of all keys but these.
	Retain(keys map[string]bool) error
}

// Offline sets up what a Resolver keeps over a reboot. The zero Offline keeps
// nothing.
type Offline struct {
	Copies Copies
	// MaxAge is how old a copy may be that is served; 0 is no limit.
	MaxAge time.Duration
	// Boot names this run of the kernel; empty where it cannot be told. A copy of
	// this run is served for MaxStale only, as a value in memory is.
	Boot string
}
