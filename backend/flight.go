package backend

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"time"
)

// errAbandoned ends a flight that nobody waits for any more.
var errAbandoned = errors.New("nobody waits for it any more")

var errClosed = fmt.Errorf("closed: %w", ErrUnavailable)

// A flight is one fetch that any number of readers of a key wait for. Its
// fields are guarded by Resolver.mu, except that secret and err may be read
// once done is closed.
type flight struct {
	key      string
	probe    bool
	cancel   context.CancelFunc
	done     chan struct{}
	ended    bool
	detached bool // ended while the backend's call goes on
	waiters  int
	secret   *Secret // owned by the waiters that have not taken it yet
	err      error
}

// join finds the flight for key or starts one, and adds a waiter to it.
func (r *Resolver) join(key string) (*flight, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return nil, errClosed
	}
	if f := r.flights[key]; f != nil {
		f.waiters++
		return f, nil
	}
	if r.detached >= maxDetached {
		return nil, fmt.Errorf("%d calls have not come back: %w", r.detached, ErrTimeout)
	}
	probe, err := r.breaker.admit(time.Now())
	if err != nil {
		return nil, err
	}
	return r.start(key, probe), nil
}

func (r *Resolver) start(key string, probe bool) *flight {
	// The context is not a reader's: others may join, and outstay it.
	ctx, cancel := context.WithTimeout(context.Background(), r.timeout)
	f := &flight{key: key, probe: probe, cancel: cancel, done: make(chan struct{}), waiters: 1}
	r.flights[key] = f
	stop := context.AfterFunc(ctx, func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.detach(f, r.cause(ctx, key))
	})
	go func() {
		s, err := r.call(ctx, key)
		stop()
		r.land(f, s, err)
		cancel()
	}()
	return f
}

func (r *Resolver) cause(ctx context.Context, key string) error {
	if errors.Is(ctx.Err(), context.Canceled) {
		return errAbandoned
	}
	return fmt.Errorf("no answer for %q within %s: %w", key, r.timeout, ErrTimeout)
}

// call asks the backend. It keeps a driver's panic to the one secret that caused
// it. What the panic says is not passed on, it could quote plaintext; errors of
// the runtime do not.
func (r *Resolver) call(ctx context.Context, key string) (s *Secret, err error) {
	defer func() {
		if p := recover(); p != nil {
			text := "panic"
			if re, ok := p.(runtime.Error); ok {
				text = re.Error()
			}
			err = fmt.Errorf("mistake in the driver while fetching %q: %s", key, text)
		}
	}()
	select {
	case r.slots <- struct{}{}:
		defer func() { <-r.slots }()
	case <-ctx.Done():
		return nil, r.cause(ctx, key)
	}
	s, err = r.backend.Get(ctx, key)
	switch {
	case err == nil && s == nil:
		return nil, errors.New("the driver answered nothing")
	case err == nil:
		return s, nil
	case s != nil:
		s.Value.Destroy()
	}
	if ctx.Err() != nil {
		err = r.cause(ctx, key)
	}
	return nil, err
}

// land ends the flight with the backend's answer, unless it came too late.
func (r *Resolver) land(f *flight, s *Secret, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !f.detached {
		r.end(f, s, err)
		return
	}
	r.detached--
	if s != nil {
		s.Value.Destroy()
	}
}

// detach ends the flight while the backend has not answered. It is called with
// mu held.
func (r *Resolver) detach(f *flight, err error) {
	if !f.ended {
		f.detached = true
		r.detached++
		r.end(f, nil, err)
	}
}

// end gives the outcome to the waiters. It is called with mu held.
func (r *Resolver) end(f *flight, s *Secret, err error) {
	f.ended, f.secret, f.err = true, s, err
	delete(r.flights, f.key)
	r.breaker.record(time.Now(), f.probe, err)
	r.remember(f)
	if f.waiters == 0 {
		f.drop()
	}
	close(f.done)
}

func (r *Resolver) remember(f *flight) {
	if errors.Is(f.err, errAbandoned) {
		return
	}
	r.asked, r.lastErr = true, f.err
	if f.err == nil {
		r.lastOK = time.Now()
	}
	if _, ok := r.backend.(Indexer); !ok || r.cache != nil {
		r.learn(f)
	}
}

// maxKnown is of how many keys it is known what became of them: any name may be
// asked for in a directory.
const maxKnown = 100_000

// learn keeps what the outcome of f tells of its key, where nobody else knows. It is
// called with mu held.
func (r *Resolver) learn(f *flight) {
	info, ok := r.known[f.key]
	switch {
	case f.err != nil && !ok:
		info = Info{Size: SizeUnknown, Err: f.err}
	case f.err != nil:
		info.Err = f.err
	case r.cache != nil: // it knows more of a value
		delete(r.known, f.key)
		return
	default:
		info = Info{Size: int64(f.secret.Value.Len()), Version: f.secret.Version}
	}
	if len(r.known) >= maxKnown {
		clear(r.known)
	}
	r.known[f.key] = info
}

// take gives a waiter a secret of its own; the last one gets the original.
func (r *Resolver) take(f *flight) (*Secret, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	f.waiters--
	switch {
	case errors.Is(f.err, errAbandoned): // only Close abandons with waiters left
		return nil, errClosed
	case f.err != nil:
		return nil, f.err
	}
	if f.waiters == 0 {
		return f.secret, nil
	}
	shared := *f.secret
	shared.Value = f.secret.Value.Share()
	return &shared, nil
}

// leave is a waiter that does not want the outcome any more. A flight without
// waiters is cancelled and over, so that nobody joins it.
func (r *Resolver) leave(f *flight) {
	r.mu.Lock()
	defer r.mu.Unlock()
	f.waiters--
	if f.waiters > 0 {
		return
	}
	if f.ended {
		f.drop()
		return
	}
	r.detach(f, errAbandoned)
	f.cancel()
}

func (f *flight) drop() {
	if f.secret != nil {
		f.secret.Value.Destroy()
	}
}
