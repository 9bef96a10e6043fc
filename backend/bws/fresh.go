package bws

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/secretfs/secretfs/backend"
)

const (
	// runTime bounds one question, login included. Readers wait no longer than
	// their own time.
	runTime = 30 * time.Second
	// maxPause is the longest pause after failures while nobody can be served,
	// maxStalePause while the last answer stands in.
	maxPause      = 30 * time.Second
	maxStalePause = 5 * time.Minute
	// minPoll is the shortest time between two questions that nobody waits for.
	minPoll = time.Second
)

// A run is one question to the server, which any number of readers wait for.
type run struct {
	began time.Time
	done  chan struct{}
	err   error // once done is closed
}

// earliness is drawn anew for each answer, so that machines that started together
// do not ask together.
func earliness() float64 { return 1 - rand.Float64()/10 }

// fresh waits until what is known is no older than ttl, or says why it is.
func (b *Backend) fresh(ctx context.Context, key string, ttl time.Duration) error {
	if ctx.Err() != nil {
		return late(ctx)
	}
	b.begin()
	b.mu.RLock()
	before := b.asked
	b.mu.RUnlock()
	for {
		r, err := b.join(before, ttl)
		if r == nil {
			return err
		}
		if err := b.wait(ctx, r, key); err != nil {
			return err
		}
	}
}

// join gives the question to wait for, or nil if there is nothing to wait for.
func (b *Backend) join(before int, ttl time.Duration) (*run, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.ctx.Err() != nil:
		return nil, errClosed
	case b.idle:
		return nil, errLocked
	case b.current(before, ttl):
		return nil, nil
	case b.run != nil:
		return b.run, nil
	case b.failure != nil && b.pause.Left() > 0:
		return nil, b.failure
	}
	return b.start(), nil
}

// current says that what is known answers a later question than the one that was
// asked before, or is not older than ttl. mu is held.
func (b *Backend) current(before int, ttl time.Duration) bool {
	return b.vault != nil && !b.offline && (b.answer > before || b.failure == nil && age(b.checked) < ttl)
}

// start sends a question. mu is held.
func (b *Backend) start() *run {
	r := &run{began: time.Now(), done: make(chan struct{})}
	b.asked++
	b.run = r
	b.work.Go(func() {
		ctx, cancel := context.WithTimeout(b.ctx, runTime)
		defer cancel()
		b.settle(r, b.look(ctx))
	})
	return r
}

// settle ends a question.
func (b *Backend) settle(r *run, err error) {
	b.mu.Lock()
	b.run = nil
	was := b.failure
	b.failure = err
	switch {
	case err == nil:
		b.pause.End()
	case passing(err) && b.vault != nil:
		b.pause.Begin(maxStalePause)
	case passing(err):
		b.pause.Begin(maxPause)
	}
	var tell func()
	if b.news || (was == nil) != (err == nil) {
		b.news, tell = false, b.changed
	}
	b.mu.Unlock()
	r.err = err
	close(r.done)
	if tell != nil && b.ctx.Err() == nil {
		tell()
	}
	select {
	case b.wake <- struct{}{}: // the time of the next question is another
	default:
	}
}

// passing says that the server does not answer, and that asking it again at once
// would only add to its load.
func passing(err error) bool {
	return errors.Is(err, backend.ErrUnavailable) || errors.Is(err, backend.ErrTimeout)
}

// wait waits for r, no longer than its reader may, and if the last answer can stand
// in not so long that the reader gets neither.
func (b *Backend) wait(ctx context.Context, r *run, key string) error {
	var enough <-chan time.Time
	b.mu.RLock()
	timeout := b.env.Timeout
	b.mu.RUnlock()
	if timeout > 0 {
		timer := time.NewTimer(timeout/2 - time.Since(r.began))
		defer timer.Stop()
		enough = timer.C
	}
	for {
		select {
		case <-r.done:
			return r.err
		case <-ctx.Done():
			return late(ctx)
		case <-enough:
		}
		slow := fmt.Errorf("no answer from %s yet: %w", b.settings.API, backend.ErrTimeout)
		b.mu.RLock()
		usable := b.standsIn(key, slow)
		b.mu.RUnlock()
		if usable {
			return slow
		}
		enough = nil
	}
}

func late(ctx context.Context) error {
	if errors.Is(ctx.Err(), context.Canceled) {
		return ctx.Err()
	}
	return fmt.Errorf("no answer in time: %w", backend.ErrTimeout)
}

// Refresh asks now, whatever is known.
func (b *Backend) Refresh(ctx context.Context) error {
	b.mu.Lock()
	b.pause.End()
	b.refused = refusal{}
	b.mu.Unlock()
	return b.fresh(ctx, "", 0)
}

// Unlock ends a Lock and logs in, unless that is done.
func (b *Backend) Unlock(ctx context.Context) error {
	b.awake()
	return b.fresh(ctx, "", never)
}

// awake ends a Lock. Reading a secret does so, which the resolver does not let pass
// before its time; looking at names and sizes does not.
func (b *Backend) awake() {
	b.mu.RLock()
	idle := b.idle
	b.mu.RUnlock()
	if idle {
		b.mu.Lock()
		b.idle = false
		b.mu.Unlock()
	}
}

var errLocked = fmt.Errorf("locked: %w", backend.ErrLocked)

// poll asks when the time of what is known is over, so that changes are noticed.
func (b *Backend) poll() {
	for {
		timer := time.NewTimer(b.nextPoll())
		select {
		case <-b.ctx.Done():
			timer.Stop()
			return
		case <-b.wake:
			timer.Stop()
			continue
		case <-timer.C:
		}
		b.mu.Lock()
		due := !b.idle && b.run == nil && b.polls() > 0
		if due {
			b.start()
		}
		b.mu.Unlock()
	}
}

// never is longer than any process lives.
const never = 100 * 365 * 24 * time.Hour

// nextPoll is how long from now.
func (b *Backend) nextPoll() time.Duration {
	b.mu.RLock()
	defer b.mu.RUnlock()
	ttl := b.polls()
	switch {
	case b.idle || b.run != nil || ttl == 0:
		return never
	case b.failure != nil && passing(b.failure):
		return max(b.pause.Left(), minPoll)
	case b.failure != nil, b.vault == nil:
		return maxPause // a credential may have appeared
	}
	return max(time.Duration(b.early*float64(ttl))-age(b.checked), minPoll)
}

// polls is the shortest TTL that any secret has; 0 if each read asks.
func (b *Backend) polls() (ttl time.Duration) {
	ttl = b.env.Timings.Default.TTL
	for _, t := range b.env.Timings.ByKey {
		if t.TTL > 0 && (ttl == 0 || t.TTL < ttl) {
			ttl = t.TTL
		}
	}
	return ttl
}
