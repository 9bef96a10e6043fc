package gate

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/secretfs/secretfs/backend"
	"github.com/secretfs/secretfs/policy/audit"
)

// Own reads the secret at path for secretfs itself, which opens the backend
// named with it. What allows that is the policy's entry of that backend, not mode
// nor `only:`. It is recorded like every read, and nothing is handed out without.
// errno is that of Request.
func (g *Gate) Own(ctx context.Context, path, opens string, errno func(error) string) (*backend.Secret, error) {
	start := time.Now()
	v := g.View()
	n, known := v.Tree.Lookup(path)
	record := audit.Record{
		Time: start, Path: path, Backend: n.Backend, Exe: self,
		PID: uint32(os.Getpid()), TID: uint32(os.Getpid()), UID: uint32(os.Geteuid()), GID: uint32(os.Getegid()),
		Rule: fmt.Sprintf("credential of backend %q", opens),
	}
	s, err := v.own(ctx, path, n.Backend, n.Key, known)
	record.Elapsed, record.Outcome = time.Since(start), outcome(err)
	if err != nil {
		record.Errno = errno(err)
	} else {
		record.Version, record.Stale = string(s.Version), s.Stale != nil
	}
	if logErr := g.log.Append(&record); logErr != nil {
		if s != nil {
			s.Value.Destroy()
		}
		return nil, logErr
	}
	return s, err
}

func (v *View) own(ctx context.Context, path, name, key string, known bool) (*backend.Secret, error) {
	b, ok := v.Backends.Lookup(name)
	if !known || !ok {
		return nil, fmt.Errorf("looking up %s: %w", path, backend.ErrNotFound)
	}
	return b.Get(ctx, key)
}

// self is this program, as an audit record names a caller's.
var self, _ = os.Executable()
