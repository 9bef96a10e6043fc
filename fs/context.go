package fs

import (
	"context"
	"time"
)

const (
	// statDeadline bounds what a LOOKUP or GETATTR waits for the first index
	// of a backend.
	statDeadline = 300 * time.Millisecond
	// initDeadline is what PID 1 of any pid namespace waits for a secret. It
	// reads EnvironmentFile= itself, and whatever waits for PID 1 waits too.
	initDeadline = 2 * time.Second
)

// An interrupt is the context of a request: done when the caller is
// interrupted. It costs no goroutine.
type interrupt struct {
	context.Context
	cancel <-chan struct{}
}

func withInterrupt(cancel <-chan struct{}) context.Context {
	return interrupt{context.Background(), cancel}
}

// Done is closed on FUSE_INTERRUPT.
func (i interrupt) Done() <-chan struct{} { return i.cancel }

// Err is context.Canceled once Done is closed.
func (i interrupt) Err() error {
	select {
	case <-i.cancel:
		return context.Canceled
	default:
		return nil
	}
}
