// Package gate is the one path to plaintext, for every front end: it decides,
// has the value made ready, writes the audit record, and only then lets the
// answer leave. If any of these fails nothing is handed out.
package gate

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/secretfs/secretfs/backend"
	"github.com/secretfs/secretfs/policy"
	"github.com/secretfs/secretfs/policy/audit"
)

// ErrRefused is returned for what the policy does not allow.
var ErrRefused = errors.New("refused by the policy")

// A Recorder writes audit records. Append returns once the record is safely
// with the sink, or an error that wraps audit.ErrNotRecorded.
type Recorder interface {
	Append(*audit.Record) error
}

// A Gate is safe for concurrent use.
type Gate struct {
	view atomic.Pointer[View]
	log  Recorder
}

// New makes a gate in front of a first view.
func New(v *View, log Recorder) *Gate {
	g := &Gate{log: log}
	g.view.Store(v)
	return g
}

// View is the configuration in force.
func (g *Gate) View() *View { return g.view.Load() }

// Swap puts another configuration in force. Requests under way go on with the
// one that they began with.
func (g *Gate) Swap(v *View) *View { return g.view.Swap(v) }

// A Request is one attempt to read a secret.
type Request struct {
	Path     string
	UID, GID uint32 // of the caller
	// Identify tells who the caller is. Only what is needed of it has to be
	// known. If it fails the request is refused, and recorded with what is
	// known.
	Identify func(policy.Needs) (*policy.Caller, error)
	// FindErr says that there is nothing at Path.
	FindErr error
	// Resent says that the kernel sends the request again after a crash.
	Resent bool
	// Errno names the errno that an error is shown as, for the record.
	Errno func(error) string
}

// A Fetch gets the secret of a request from its backend. It may be called or
// not: a front end that still holds the current version need not. Who is patient
// waits for a backend to come up, for as long as the policy has it; a PID 1 is
// not, since what would bring it up may be waiting for that PID 1.
type Fetch func(ctx context.Context, patient bool) (*backend.Secret, error)

// A Served is what a request is answered with.
type Served struct {
	Version backend.Version
	Stale   bool // the last good version: a newer one could not be had
}

// A Serve makes ready what the request will be answered with, and says what that
// is. What it has made must not leave before Open returns nil.
type Serve func(context.Context, Fetch) (Served, error)

// Open decides about r, calls serve if it is allowed, and records how it went.
// Only when it returns nil may the value be handed out.
func (g *Gate) Open(ctx context.Context, r Request, serve Serve) error {
	start := time.Now()
	v := g.View()
	n, known := v.Tree.Lookup(r.Path)
	at := v.Case(r.Path, n)
	c, callerErr := r.Identify(at.Needs(r.UID, r.GID))
	record := audit.Record{
		Time: start, Path: r.Path, Backend: n.Backend, Resent: r.Resent,
		PID: c.PID, TID: c.TID, UID: c.UID, GID: c.GID, Exe: c.Exe, Unit: unit(c),
	}
	err := r.FindErr
	if err == nil && !known {
		err = fmt.Errorf("looking up %s: %w", r.Path, backend.ErrNotFound)
	}
	if err == nil {
		record.Rule, err = decide(at, c, callerErr)
	}
	var served Served
	if err == nil {
		served, err = serve(ctx, v.fetch(n))
		if errors.Is(err, errAgain) {
			return err // nothing was read, the kernel asks once more
		}
	}
	record.Version, record.Stale, record.Elapsed = string(served.Version), served.Stale, time.Since(start)
	record.Outcome = outcome(err)
	if err != nil {
		record.Errno = r.Errno(err)
	}
	if logErr := g.log.Append(&record); logErr != nil {
		return logErr
	}
	return err
}

// errAgain marks an answer that hands out nothing and makes the kernel ask
// again.
var errAgain = errors.New("ask again")

// Again wraps err, which a Serve returns when the caller is sent to ask again:
// such an attempt is not recorded.
func Again(err error) error { return fmt.Errorf("%w: %w", errAgain, err) }

func outcome(err error) audit.Outcome {
	switch {
	case err == nil:
		return audit.Allowed
	case errors.Is(err, ErrRefused):
		return audit.Refused
	default:
		return audit.Failed
	}
}

func decide(at *policy.Case, c *policy.Caller, callerErr error) (rule string, err error) {
	if callerErr != nil {
		return "caller unknown", fmt.Errorf("%w: identifying the caller: %w", ErrRefused, callerErr)
	}
	d := at.Decide(c)
	if !d.Allowed {
		return d.Rule, fmt.Errorf("%w: %s", ErrRefused, d.Rule)
	}
	return d.Rule, nil
}

func (v *View) fetch(n policy.Node) Fetch {
	return func(ctx context.Context, patient bool) (*backend.Secret, error) {
		b, ok := v.Backends.Lookup(n.Backend)
		if !ok {
			return nil, fmt.Errorf("backend %s: %w", n.Backend, backend.ErrNotFound)
		}
		if !patient {
			return b.Get(ctx, n.Key)
		}
		return b.Await(ctx, n.Key, n.Wait)
	}
}

// Access decides without reading or recording: for access(2), and for listing
// directories.
func (g *Gate) Access(path string, dir bool, c policy.Caller, want policy.Want) error {
	v := g.View()
	n, ok := v.Tree.Lookup(path)
	if !ok {
		return backend.ErrNotFound
	}
	var d policy.Decision
	if dir {
		d = v.Dir(&c, path, n, want)
	} else {
		d = v.File(&c, path, n, want)
	}
	if !d.Allowed {
		return fmt.Errorf("%w: %s", ErrRefused, d.Rule)
	}
	return nil
}

// unit is where the caller runs, for the record: its systemd unit, else its
// container.
func unit(c *policy.Caller) string {
	switch {
	case c.Unit != "":
		return c.Unit
	case c.UserUnit != "":
		return c.UserUnit
	default:
		return c.Container
	}
}
