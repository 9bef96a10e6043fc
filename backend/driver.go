package backend

import (
	"context"
	"net"
	"time"

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
	// Rest is kept in memory that can be swapped.
	Rest []byte
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

// An Env is what a Backend may use of the process that it runs in.
type Env struct {
	Name     string        // the backend's name in the policy
	Timeout  time.Duration // deadline of one fetch
	MaxStale time.Duration // how long the last good version may be served
	// Helper starts a helper outside of the sandbox and connects to it: one
	// request in, one answer out. It waits, no longer than ctx, while too many
	// run. It may be nil.
	Helper func(ctx context.Context, call HelperCall) (net.Conn, error)
	// Save keeps state beyond the life of this process; nil where nothing does.
	// What it is given is then the callee's.
	Save func(Legacy)
	// Saved is what an earlier process saved last, or zero. Its Keys are wiped
	// when the Opener returns.
	Saved Legacy
}
