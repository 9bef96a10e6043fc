package backend

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"
)

// DefaultTimeout is how long a fetch may take where Options say nothing.
const DefaultTimeout = 10 * time.Second

// maxDetached bounds the calls into one backend whose readers have given up and
// which the driver has not ended. Each holds a goroutine, and perhaps a thread.
const maxDetached = 32

// maxInFlight is how many fetches of one backend run at a time where Options say
// nothing.
const maxInFlight = 16

// Options set up a Resolver.
type Options struct {
	Name     string        // the backend's name in the policy, for errors
	Timeout  time.Duration // of one fetch; DefaultTimeout if not positive
	InFlight int           // fetches at a time; 16 if not positive
	Timings  Timings       // of a Remote
	// Slot keeps the values of a Remote for the next process, Listings what a
	// Lister has told.
	Slot, Listings Slot
	// Locked is for one that was locked in an earlier process: see Lock.
	Locked bool
	// Offline keeps what a Remote has given over a reboot.
	Offline Offline
	Log     *slog.Logger // nil logs nothing
}

// A Resolver stands in front of one Backend and sees to it that nobody waits
// for it longer than the deadline, that readers of one key share one fetch, and
// that a backend that does not answer is left alone for a while. Its methods are
// safe for concurrent use. It keeps plaintext beyond a fetch for a Remote only.
type Resolver struct {
	backend Backend
	name    string
	timeout time.Duration
	slots   chan struct{} // one for each fetch under way
	cache   *cache        // nil unless backend is a Remote
	keeper  *keeper       // nil likewise
	// listings are nil unless backend is a Lister.
	listings *listings
	copier   *copier // nil where nothing is kept over a reboot
	timings  Timings

	mu       sync.Mutex
	flights  map[string]*flight // key -> fetch that others may join
	detached int                // flights that ended before the driver's call
	closed   bool
	locked   bool   // by Lock, until Unlock
	changed  func() // who wants to know, or nil
	breaker  breaker
	known    map[string]Info // key -> what the last Get told, where no Indexer or cache knows
	asked    bool            // whether any fetch has ended
	lastErr  error           // of the last fetch that ended
	lastOK   time.Time
}

// ended is the context of what may wait for nothing.
var ended = func() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}()

// New wraps b. Whoever owns the Resolver closes it, and so b.
func New(b Backend, o Options) *Resolver {
	if o.Timeout <= 0 {
		o.Timeout = DefaultTimeout
	}
	if o.InFlight <= 0 {
		o.InFlight = maxInFlight
	}
	r := &Resolver{
		backend: b, name: o.Name, timeout: o.Timeout, slots: make(chan struct{}, o.InFlight),
		flights: map[string]*flight{}, known: map[string]Info{}, timings: o.Timings,
	}
	if lister, ok := b.(Lister); ok {
		r.listings = newListings(r, lister)
		r.listings.restore(o.Listings.Saved)
	}
	if remote, ok := b.(Remote); ok {
		r.cache = newCache(o.Timings)
		if o.Offline.Copies != nil {
			r.copier = newCopier(r, o.Offline, o.Log)
			r.cache.copier = r.copier
		}
		r.cache.restore(o.Slot.Saved)
		r.keeper = r.keep(o, remote.Polls())
	}
	if o.Locked {
		_ = r.Lock(ended) // it has nothing yet to let go of elsewhere
	}
	return r
}

// Name is the backend's name in the policy.
func (r *Resolver) Name() string { return r.name }

// Get fetches the secret that key names, or joins a fetch of it that is under
// way. The caller destroys the Value, and does not write to it: others may share
// it. The error wraps a sentinel of this package, or, at once,
// context.Canceled where ctx was cancelled. A deadline of ctx, like that of Options, gives
// ErrTimeout, even if the backend itself goes on.
func (r *Resolver) Get(ctx context.Context, key string) (*Secret, error) {
	if err := r.open(); err != nil {
		return nil, r.named(err)
	}
	s, err := r.get(ctx, key)
	if locked := r.open(); locked != nil && err == nil { // meanwhile
		s.Value.Destroy()
		return nil, r.named(locked)
	}
	if errors.Is(err, context.DeadlineExceeded) {
		err = fmt.Errorf("no answer for %q in the caller's time: %w", key, ErrTimeout)
	}
	return s, r.named(err)
}

func (r *Resolver) get(ctx context.Context, key string) (*Secret, error) {
	if where, path, ok := r.listed(key); ok {
		it, err := r.below(ctx, where, path)
		switch {
		case err != nil:
			return nil, err
		case it.Dir:
			return nil, fmt.Errorf("%q is a directory: %w", KeyText(key), ErrNotFound)
		}
		key = it.Key
	}
	return r.remembered(ctx, key)
}

// open says why nothing may be asked for.
func (r *Resolver) open() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.locked {
		return r.lockedError()
	}
	return nil
}

func (r *Resolver) lockedError() error {
	return fmt.Errorf("locked by secretfs lock (secretfs unlock %s opens it): %w", r.name, ErrLocked)
}

func (r *Resolver) fetch(ctx context.Context, key string) (*Secret, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	f, err := r.join(key)
	if err != nil {
		return nil, err
	}
	select {
	case <-f.done:
		return r.take(f)
	case <-ctx.Done():
		r.leave(f)
		return nil, ctx.Err()
	}
}

func (r *Resolver) named(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("backend %q: %w", r.name, err)
}

// Stat tells size and version of key without fetching it. Where the backend is
// no Indexer these are the last known ones, or SizeUnknown.
func (r *Resolver) Stat(ctx context.Context, key string) (Info, error) {
	if where, path, ok := r.listed(key); ok {
		info, err := r.statBelow(ctx, where, path)
		return info, r.named(err)
	}
	return r.stat(ctx, key)
}

func (r *Resolver) stat(ctx context.Context, key string) (Info, error) {
	last := r.last(key)
	if r.cache != nil {
		if info, ok := r.cache.info(key); ok {
			if info.Due {
				info.Err = r.named(last.Err)
			}
			return info, nil
		}
	}
	ix, ok := r.backend.(Indexer)
	if !ok {
		last.Err = r.named(last.Err)
		return last, nil
	}
	info, err := ix.Stat(ctx, key)
	if info.Err == nil {
		info.Err = last.Err
	}
	info.Err = r.named(info.Err)
	info.Due = info.Due || r.open() != nil // no version may be served
	return info, r.named(err)
}

// last is what the last Get of key told, as far as nobody else knows it.
func (r *Resolver) last(key string) Info {
	r.mu.Lock()
	info, ok := r.known[key]
	locked := r.locked
	r.mu.Unlock()
	if !ok {
		info = Info{Size: SizeUnknown}
	}
	info.Due = locked
	if r.cache != nil {
		if err := r.cache.refusal(key); err != nil {
			info = Info{Size: SizeUnknown, Err: err}
		}
	}
	return info
}

// List names the children of the sub-tree at key. The error wraps
// ErrUnsupported where the backend is neither an Indexer nor a Lister that was
// asked for a DirKey.
func (r *Resolver) List(ctx context.Context, key string) ([]Entry, error) {
	if where, path, ok := r.listed(key); ok {
		entries, err := r.listBelow(ctx, where, path)
		return entries, r.named(err)
	}
	if ix, ok := r.backend.(Indexer); ok {
		entries, err := ix.List(ctx, key)
		return entries, r.named(err)
	}
	return nil, r.named(fmt.Errorf("listing %q: a backend of this type cannot tell what is in it: %w", KeyText(key), ErrUnsupported))
}

// Refresh has the backend look again now, and ends the pause after failures.
func (r *Resolver) Refresh(ctx context.Context) error {
	r.forgive()
	r.invalidate()
	if rf, ok := r.backend.(Refresher); ok {
		return r.named(rf.Refresh(ctx))
	}
	return nil
}

// Notify has changed called after each change that the backend, or asking it
// again, brings to light; see Notifier. It is called once, before the first Get.
func (r *Resolver) Notify(changed func()) {
	r.mu.Lock()
	r.changed = changed
	r.mu.Unlock()
	n, ok := r.backend.(Notifier)
	if !ok {
		return
	}
	n.Notify(func() {
		r.forgive() // what did not work may work now
		r.invalidate()
		r.tell()
	})
}

func (r *Resolver) tell() {
	r.mu.Lock()
	changed := r.changed
	r.mu.Unlock()
	if changed != nil {
		changed()
	}
}

func (r *Resolver) forgive() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.breaker = breaker{probing: r.breaker.probing}
}

func (r *Resolver) invalidate() {
	if r.cache != nil {
		r.cache.invalidate()
	}
	if r.listings != nil {
		r.listings.invalidate()
	}
}

// admit says whether the backend may be asked now; record takes how it went.
func (r *Resolver) admit() (probe bool, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.closed:
		return false, errClosed
	case r.locked:
		return false, r.lockedError()
	}
	return r.breaker.admit(time.Now())
}

func (r *Resolver) record(probe bool, err error) {
	if errors.Is(err, errClosed) {
		err = errAbandoned
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.breaker.record(time.Now(), probe, err)
}

// Close refuses further fetches, cancels those under way and closes the
// backend. It waits for that no longer than the timeout of one fetch.
func (r *Resolver) Close() error {
	r.mu.Lock()
	r.closed = true
	for _, f := range r.flights {
		f.cancel()
	}
	r.mu.Unlock()
	if r.listings != nil {
		r.listings.cancel()
	}
	if r.keeper != nil {
		r.keeper.stop()
		r.cache.close()
	}
	closed := make(chan error, 1)
	go func() { closed <- r.backend.Close() }()
	deadline := time.NewTimer(r.timeout)
	defer deadline.Stop()
	select {
	case err := <-closed:
		return r.named(err)
	case <-deadline.C:
		return r.named(fmt.Errorf("closing it was not done after %s: %w", r.timeout, ErrTimeout))
	}
}
