package fs

import (
	"context"
	"sync"
	"time"
)

const (
	// statDeadline bounds what a LOOKUP or GETATTR waits for the first index
	// of a backend.
	statDeadline = 300 * time.Millisecond
	// nameDeadline bounds it for what cannot be answered without: whether there is
	// such a name only the index knows, and which names there are.
	nameDeadline = 2 * time.Second
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

// A brief is a context with a deadline whose timer begins to run when somebody
// first waits: an answer from memory costs no timer.
type brief struct {
	context.Context
	limit time.Duration
	once  sync.Once
	timed context.Context
	stop  context.CancelFunc
}

func briefly(ctx context.Context, limit time.Duration) *brief {
	return &brief{Context: ctx, limit: limit}
}

func (b *brief) start() context.Context {
	b.once.Do(func() { b.timed, b.stop = context.WithTimeout(b.Context, b.limit) })
	return b.timed
}

// Done is closed at the deadline, or with the context that b was made from.
func (b *brief) Done() <-chan struct{} { return b.start().Done() }

// Err says why Done is closed.
func (b *brief) Err() error { return b.start().Err() }

// Deadline counts from the first time that somebody waits.
func (b *brief) Deadline() (time.Time, bool) { return b.start().Deadline() }

// end stops the timer. Whoever still holds b finds it done.
func (b *brief) end() {
	b.once.Do(func() { b.timed, b.stop = over, func() {} })
	b.stop()
}

// over is a context that is done.
var over = func() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}()
