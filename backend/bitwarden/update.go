package bitwarden

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime/debug"
	"time"

	"github.com/secretfs/secretfs/backend"
	"github.com/secretfs/secretfs/backend/bitwarden/api"
	"github.com/secretfs/secretfs/backend/bitwarden/vault"
)

const (
	// updateTime bounds one update: a login, a derivation of keys that takes
	// its time, and a large vault.
	updateTime = 3 * time.Minute
	// syncTime is for fetching a vault.
	syncTime = 2 * time.Minute
	// callTime is for one call besides, at least.
	callTime = 10 * time.Second
	// patience is how long an update may delay those who can be served
	// without it.
	patience = 2 * time.Second
	// missAfter is how old an answer must be before the server is asked for the
	// sake of an item that is not in it.
	missAfter = 30 * time.Second

	// tidyAfter is how large a vault must be in bytes for what reading it has left
	// behind to be given back at once.
	tidyAfter = 1 << 20

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

// poll updates when the time has come although nobody reads, so that changes are
// noticed. Machines that started together do not ask together.
func (b *Backend) poll() {
	for {
		wait := b.nextPoll()
		select {
		case <-b.ctx.Done():
			return
		case <-time.After(wait):
		}
		if b.ttl() == 0 || !b.hasVault() || b.fresh() {
			continue
		}
		if f, _ := b.update(false); f != nil {
			<-f.done
		}
	}
}

func (b *Backend) nextPoll() time.Duration {
	b.vaultMu.RLock()
	left := b.ttl() - age(b.head.Synced)
	b.vaultMu.RUnlock()
	b.mu.Lock()
	if b.err != nil {
		left = time.Until(b.again)
	}
	b.mu.Unlock()
	left = max(left, time.Second)
	return left + rand.N(left/10+1)
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

// synchronise brings the vault up to date. It is called with the turn.
func (b *Backend) synchronise(ctx context.Context, anyway bool) error {
	b.restoreSession()
	if err := b.unlockCopy(ctx); err != nil {
		return err
	}
	revision, err := b.revision(ctx)
	if err != nil {
		return err
	}
	if err := b.session.unlock(ctx); err != nil {
		return err
	}
	if !anyway && b.unchanged(revision) {
		if age(b.copied) > copyAgain {
			b.save()
		}
		return nil
	}
	syncCtx, cancel := context.WithTimeout(ctx, syncTime)
	defer cancel()
	raw, err := b.client.Sync(syncCtx, b.session.tokens.Access)
	if err != nil {
		return fmt.Errorf("fetching the vault: %w", err)
	}
	v, err := vault.Open(raw, b.session.user)
	if err != nil {
		return fmt.Errorf("reading the vault: %w", err)
	}
	b.accept(v, copyHead{Mark: b.cfg.mark(), Revision: revision, Synced: time.Now()}, false)
	b.save()
	if len(raw) > tidyAfter {
		debug.FreeOSMemory()
	}
	return nil
}

// revision asks when the vault last changed. A token that is not taken any more
// is replaced, once.
func (b *Backend) revision(ctx context.Context) (int64, error) {
	for again := range 2 {
		before := b.session.tokens.Access
		token, err := b.session.access(ctx)
		if err != nil {
			return 0, err
		}
		if token != before {
			b.saveSession()
		}
		revision, err := b.client.Revision(ctx, token)
		if e := api.AsError(err); e != nil && e.Status == 401 && again == 0 {
			b.session.expire()
			continue
		}
		if err != nil {
			return 0, fmt.Errorf("asking whether the vault has changed: %w", err)
		}
		return revision, nil
	}
	return 0, fmt.Errorf("asking whether the vault has changed: the server takes no token: %w", backend.ErrRejected)
}

// unchanged notes that the vault that is there is the newest, if it is.
func (b *Backend) unchanged(revision int64) bool {
	b.vaultMu.Lock()
	defer b.vaultMu.Unlock()
	if b.vault == nil || b.head.Revision != revision {
		return false
	}
	b.head.Synced, b.offline = time.Now(), false
	return true
}

// accept puts v in the place of the vault that was there.
func (b *Backend) accept(v *vault.Vault, head copyHead, offline bool) {
	b.vaultMu.Lock()
	old := b.vault
	b.vault, b.head, b.offline = v, head, offline
	if old == nil {
		close(b.came)
	}
	b.vaultMu.Unlock()
	old.Destroy()
	b.log.Info("the vault is there", "items", v.Len(), "offline", offline)
	b.tell()
}
