package keys

import (
	"context"
	"fmt"
	"net"

	"github.com/secretfs/secretfs/backend"
	"github.com/secretfs/secretfs/backend/helper"
	"github.com/secretfs/secretfs/backend/secret"
)

// A Solver opens the master key of a Request; see helper.Solver.
type Solver func(ctx context.Context, q *Request) (*secret.Value, error)

// Serve answers one request of kind gpg, plugin or passphrase on conn and closes it. It is
// for a process of its own: it may change the environment.
func Serve(kind string, conn net.Conn) error {
	switch kind {
	case KindGPG:
		return Answer(conn, solveGPG)
	case KindPlugin:
		return Answer(conn, solvePlugin)
	case KindPassphrase:
		return helper.Answer(conn, solvePassphrase)
	}
	conn.Close()
	return fmt.Errorf("serving a helper: no kind %q, expected %q, %q or %q", kind, KindGPG, KindPlugin, KindPassphrase)
}

// Answer has solve answer one request on conn, and closes it; see helper.Answer.
func Answer(conn net.Conn, solve Solver) error {
	return helper.Answer(conn, func(ctx context.Context, asked *helper.Question) (*secret.Value, error) {
		q := &Request{}
		if err := asked.Decode(q); err != nil {
			return nil, helper.Refuse(backend.ErrUnavailable, "%v", err)
		}
		q.values = asked.Secrets
		return solve(ctx, q)
	})
}
