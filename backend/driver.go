package backend

import (
	"context"
	"log/slog"
	"net"
	"time"

	"github.com/secretfs/secretfs/backend/credential"
	"github.com/secretfs/secretfs/backend/secret"
)

// An Opener makes a Backend of what the policy says about one: config is what
// the driver of its type has decoded. It must not wait for anything: what can
// be slow or missing shows when a secret is asked for.
type Opener func(config any, env Env) (Backend, error)

// A Legacy is what a Backend leaves to the one that takes its place in the next
// process.
type Legacy struct {
	// Keys is all that is secret of it, kept in memory that is never swapped:
	// small, since such memory is slow to come by. It may be nil.
	Keys *secret.Value
	// Rest is kept in memory that can be swapped. Nobody may write to it.
	Rest []byte
}

// A Slot keeps state beyond the life of this process.
type Slot struct {
	// Save keeps l; nil where nothing can. What it is given is then the
	// callee's.
	Save func(l Legacy)
	// Saved is what a Backend of this Name saved last, in this process or an
	// earlier one, or zero. The policy may have changed since: whether it is of
	// the same type and place is for the Opener to find out. Its Keys are wiped
	// when the Opener returns.
	Saved Legacy
}

// A HelperCall names the helper that a Backend asks for, and as whom it is to
// run. Whoever starts it decides what of that is allowed.
type HelperCall struct {
	// Kind is one that the program knows; see cmd/secretfs.
	Kind string `json:"kind"`
	// User is a name or a number. Without one the helper gets a uid that no
	// other process has, in a user mount that of the mount.
	User string `json:"user,omitempty"`
	// Env has NAME=value entries in addition to what helpers of the kind get.
	// It holds no secret: those go with the request.
	Env []string `json:"env,omitempty"`
}

// A Store keeps what must outlive a reboot, on disk. It is given ciphertext
// only. A name is made of a to z, 0 to 9, '-' and '.'. It is safe for concurrent
// use.
type Store interface {
	// Load returns what was saved under name, or an error that wraps
	// fs.ErrNotExist.
	Load(name string) ([]byte, error)
	// Save replaces it, whole or not at all (rename(2)), with mode 0600.
	Save(name string, data []byte) error
	// Remove forgets it. Nothing saved is no error.
	Remove(name string) error
}

// An Env is what a Backend may use of the process that it runs in. Funcs may be
// nil: `secretfs check` offers less.
type Env struct {
	Name    string        // the backend's name in the policy
	Timeout time.Duration // deadline of one fetch
	Timings Timings
	// Credential goes and gets a credential. It is called each time that one is
	// needed, so that one which appears later heals. The caller destroys the
	// Value. Without one the error wraps ErrLocked, and says what to do.
	Credential func(ctx context.Context, s credential.Source) (*secret.Value, error)
	// Forget drops an asked credential that turned out wrong or was good for
	// one use.
	Forget func(s credential.Source)
	// Helper starts a helper outside of the sandbox and connects to it: one
	// request in, one answer out. It waits, no longer than ctx, while too many
	// run.
	Helper func(ctx context.Context, call HelperCall) (net.Conn, error)
	State  Slot
	// Disk is this backend's part of the state directory; nil for `secretfs
	// check`, and where the policy.Driver of its type does not say Disk.
	Disk Store
	// OfflineMaxAge is how old a copy on Disk may be that is served after a
	// reboot, for a driver whose policy.Driver says OwnCopies; 0 is no limit. A
	// negative age is fresh: the machine may have no clock yet.
	OfflineMaxAge time.Duration
	Log           *slog.Logger
}
