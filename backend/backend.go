// Package backend is the seam between the filesystem and the places where
// secrets live. It defines what a backend must do, the kinds of error it may
// answer with, and the resolver that puts single flight, deadlines, a circuit
// breaker and the last good value in front of every backend.
//
// It knows nothing of FUSE, of the policy or of any one kind of vault; each
// kind lives in a package of its own below this one and is registered by the
// program.
package backend

import (
	"context"
	"time"

	"github.com/secretfs/secretfs/backend/secret"
)

// SizeUnknown is the size of a secret that cannot be told before it is fetched.
const SizeUnknown = -1

// A Version names one state of one secret. Two equal versions of the same key
// have the same plaintext. It is at most 32 bytes of printable ASCII, is shown
// in the audit log, and must not be computed from plaintext alone.
type Version string

// A Secret is one fetched plaintext. Whoever receives it owns Value and
// destroys it.
type Secret struct {
	Value   *secret.Value
	Version Version
	// Stale, if not nil, says why this is the last good value and not surely
	// the newest.
	Stale error
	// Fleeting says that a copy on a disk would be of no use: it ends with a lease
	// or a clock.
	Fleeting bool
	// copied is when the source gave it, where it comes from an offline copy.
	copied time.Time
}

// A Backend fetches secrets from one configured place. Implementations are
// safe for concurrent use.
type Backend interface {
	// Get fetches the secret that key names. It returns an error that wraps
	// one of the sentinels of this package. It should end soon after ctx
	// does; the resolver does not rely on it.
	Get(ctx context.Context, key string) (*Secret, error)
	// Close ends background work and wipes key material.
	Close() error
}

// An Info is what is known of a secret without its plaintext.
type Info struct {
	// Size is the exact length of the plaintext in bytes, or SizeUnknown.
	Size int64
	// Version is what Get would give now, unless Due says that it has to be
	// asked. Whoever holds that version may serve it.
	Version Version
	// Dir says that the key names a sub-tree with children.
	Dir bool
	// Due says that Version was right when it was last fetched, and has to be
	// asked for again before it is served: it may have changed, or be too old.
	Due bool
	// Stale, if not nil, says why Version is the last good version and not
	// the newest: the newer one could not be used.
	Stale error
	// Err, if not nil, says why the secret could not be fetched when that was
	// last tried, though what else is said of it is right.
	Err error
}

// An Indexer is a Backend that answers questions about its secrets from
// memory. The filesystem calls it in LOOKUP, GETATTR and READDIR, so that the
// methods never reach out to a network and, while a first index is being made,
// end with ctx (which the filesystem keeps short) with ErrTimeout.
type Indexer interface {
	// Stat tells size and version of key.
	Stat(ctx context.Context, key string) (Info, error)
	// List names the children of the sub-tree at key ("" is the whole),
	// in an order that does not depend on chance.
	List(ctx context.Context, key string) ([]Entry, error)
}

// An Entry is one child in a listing.
type Entry struct {
	Name string
	Dir  bool
}

// A Notifier is a Backend that notices by itself that secrets have changed.
type Notifier interface {
	// Notify has changed called after each change, from a goroutine of the
	// backend, without naming keys: who cares compares versions. It is
	// called once, before the first Get.
	Notify(changed func())
}

// A Refresher is a Backend that can be told to look again now.
type Refresher interface {
	Refresh(ctx context.Context) error
}

// A Locker is a Backend that can forget what opens it: keys, tokens, leases,
// cached values. It goes on working once they are at hand again, or, where it is
// an Unlocker too, after Unlock.
type Locker interface {
	Lock(ctx context.Context) error
}

// An Unlocker is a Backend that can be opened before a secret is asked for: it
// logs in, or tries its keys, and says whether that works. What it needs it gets
// from Env.Credential. `secretfs unlock` calls it, and asks the user for what it
// then lacked. The error wraps ErrRejected where a credential is wrong, ErrLocked
// where one is missing, ErrUnsupported where only a secret can tell.
type Unlocker interface {
	Unlock(ctx context.Context) error
}

// A Revoker is a Backend that is given things for a time, tokens and leases, and can
// give them back. That is due when the mount ends, or the policy does not have the
// backend any more: never when one process merely takes the place of another.
type Revoker interface {
	// Revoke ends with ctx. It forgets what it gives back.
	Revoke(ctx context.Context) error
}

// State says how a backend as a whole is doing, as `secretfs status` shows it.
type State string

// The states of a backend.
const (
	Ready  State = "ready"  // the last attempt worked
	Unread State = "unread" // nothing has been asked of it yet
	Locked State = "locked" // no key that opens it
	Stale  State = "stale"  // serving the last good version
	Failed State = "failed" // neither
)

// A Reporter is a Backend that knows its own state.
type Reporter interface {
	State() (State, error)
}
