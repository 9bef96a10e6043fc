package keys

import (
	"context"
	"net"

	"github.com/secretfs/secretfs/backend"
)

// The kinds of helper.
const (
	KindGPG    = "gpg"    // runs gpg
	KindPlugin = "plugin" // runs age plugins
	KindKeys   = "keys"   // the program secretfs-keys
)

// A Runner starts helpers: processes outside of the worker's sandbox that open
// one master key each.
type Runner interface {
	// Run starts a helper and gives the connection to it: one request goes
	// in, one answer comes out. Closing it ends the helper and whatever that
	// has started. Run ends with ctx; the connection may outlive it.
	Run(ctx context.Context, call backend.HelperCall) (net.Conn, error)
}
