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

// An Env is what a Backend may use of the process that it runs in.
type Env struct {
	Name     string        // the backend's name in the policy
	Timeout  time.Duration // deadline of one fetch
	MaxStale time.Duration // how long the last good version may be served
	// Helper starts a helper of a kind outside of the sandbox and connects to
	// it: one request in, one answer out. It may be nil.
	Helper func(ctx context.Context, kind string) (net.Conn, error)
	// Save keeps state, which may hold keys, beyond the life of this process,
	// in memory that is never swapped; nil where nothing does. The Value is
	// then the callee's.
	Save func(state *secret.Value)
	// Saved is what an earlier process saved last, or nil. It is wiped when
	// the Opener returns.
	Saved []byte
}
