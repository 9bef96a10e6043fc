package bitwarden

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/secretfs/secretfs/backend"
)

const (
	// updateTime bounds one update: a login, a derivation of keys that takes
	// its time, and a large vault.
	updateTime = 3 * time.Minute
	// patience is how long an update may delay those who can be served
	// without it.
	patience = 2 * time.Second
	// missAfter is how old an answer must be before the server is asked for the
	// sake of an item that is not in it.
	missAfter = 30 * time.Second

	minPause, maxPause = 5 * time.Second, 5 * time.Minute
)

// A flight is one update, which all who need it wait for.
type flight struct {
	done   chan struct{}
	cancel context.CancelFunc
	err    error // once done
}

// current sees to it that there is a vault that may be served. stale, if not
// nil, says why it may not be the newest.
func (b *Backend) current(ctx context.Context, maxStale time.Duration) (stale, err error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if b.fresh() {
		return nil, nil
	}
	f, err := b.update(false)
	if f == nil {
		return b.settle(err, maxStale)
	}
	b.vaultMu.RLock()
	came := b.came
	b.vaultMu.RUnlock()
	select {
	case <-f.done:
		return b.settle(f.err, maxStale)
	case <-ctx.Done():
		return nil, late(ctx)
	case <-came:
	}
	wait := time.NewTimer(patience)
	defer wait.Stop()
	select {
	case <-f.done:
		return b.settle(f.err, maxStale)
	case <-ctx.Done():
		return nil, late(ctx)
	case <-wait.C:
		return b.settle(fmt.Errorf("the server has not answered within %v: %w", patience, backend.ErrTimeout), maxStale)
	}
}

func late(ctx context.Context) error {
	if errors.Is(ctx.Err(), context.Canceled) {
		return ctx.Err()
	}
	return fmt.Errorf("the server, or the derivation of keys, takes its time: %w", backend.ErrTimeout)
}

// fresh says that the server need not be asked.
func (b *Backend) fresh() bool {
	b.vaultMu.RLock()
	defer b.vaultMu.RUnlock()
	return b.vault != nil && !b.offline && age(b.head.Synced) < b.ttl()
}

// ttl is how old an answer may be. While the server tells us of changes, that is
// for what it has not told.
func (b *Backend) ttl() time.Duration {
	ttl := b.env.Timings.Default.TTL
	if b.live.Load() {
		ttl *= calmer
	}
	return ttl
}

// age of what was so at that time. A clock that was set back makes nothing old.
func age(at time.Time) time.Duration { return max(time.Since(at), 0) }

// settle says whether the vault that is there may be served after err.
func (b *Backend) settle(err error, maxStale time.Duration) (stale, _ error) {
	b.vaultMu.RLock()
	defer b.vaultMu.RUnlock()
	limit, name := maxStale, "max_stale"
	if b.offline {
		limit, name = b.env.OfflineMaxAge, "offline_max_age"
		if limit == 0 {
			limit = 1<<63 - 1
		}
	}
	switch {
	case err == nil && b.vault != nil:
		return nil, nil
	case b.vault == nil && err == nil:
		return nil, errLocked
	case b.vault == nil:
		return nil, err
	case age(b.head.Synced) > limit:
		return nil, fmt.Errorf("%w (the vault as it was %v ago is too old by %s)", err, age(b.head.Synced).Round(time.Second), name)
	}
	return err, nil
}

// update begins an update, or joins the one that is under way. While it is not
// worth trying, it gives no flight and the last error instead.
func (b *Backend) update(anyway bool) (*flight, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.ctx.Err() != nil:
		return nil, errClosed
	case b.flight != nil:
		return b.flight, nil
	case !anyway && b.err != nil && time.Now().Before(b.again) && b.hasVault():
		return nil, b.err
	}
	ctx, cancel := context.WithTimeout(b.ctx, updateTime)
	f := &flight{done: make(chan struct{}), cancel: cancel}
	b.flight = f
	b.tasks.Go(func() { b.fly(ctx, f, anyway) })
	if !b.polls {
		b.polls = true
		b.tasks.Go(b.poll)
		b.tasks.Go(b.listen)
	}
	return f, nil
}

// pausing says that it is not worth asking the server again yet.
func (b *Backend) pausing() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.err != nil && time.Now().Before(b.again)
}

func (b *Backend) hasVault() bool {
	b.vaultMu.RLock()
	defer b.vaultMu.RUnlock()
	return b.vault != nil
}

func (b *Backend) fly(ctx context.Context, f *flight, anyway bool) {
	defer f.cancel()
	err := b.takeTurn(ctx)
	if err == nil {
		err = b.synchronise(ctx, anyway)
		b.giveTurn()
	}
	if err != nil && ctx.Err() != nil {
		err = fmt.Errorf("bringing the vault up to date was ended: %w: %w", err, backend.ErrTimeout)
	}
	b.mu.Lock()
	differs := (b.err == nil) != (err == nil)
	b.flight, b.tried, b.err, f.err = nil, true, err, err
	if err == nil {
		b.pause = 0
	} else {
		b.pause = min(max(2*b.pause, minPause), maxPause)
		b.again = time.Now().Add(b.pause/2 + rand.N(b.pause/2))
	}
	b.mu.Unlock()
	close(f.done)
	if differs {
		b.tell()
	}
}

// Refresh asks the server now, whatever went wrong before.
func (b *Backend) Refresh(ctx context.Context) error {
	b.purse.forgive()
	return b.now(ctx)
}

// now asks the server and waits for the outcome.
func (b *Backend) now(ctx context.Context) error {
	f, err := b.update(true)
	if f == nil {
		return err
	}
	select {
	case <-f.done:
		return f.err
	case <-ctx.Done():
		return late(ctx)
	}
}

// lookAgain asks the server for the sake of an item that is not there, unless
// it was asked just now.
func (b *Backend) lookAgain(ctx context.Context) bool {
	b.vaultMu.RLock()
	recent := age(b.head.Synced) < missAfter
	b.vaultMu.RUnlock()
	if recent {
		return false
	}
	f, _ := b.update(false)
	if f == nil {
		return false
	}
	select {
	case <-f.done:
		return f.err == nil
	case <-ctx.Done():
		return false
	}
}
