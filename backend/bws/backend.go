package bws

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/secretfs/secretfs/backend"
	"github.com/secretfs/secretfs/backend/httpc"
)

// maxAnswer is the longest answer of the server: a few thousand secrets of the
// greatest length, in bytes.
const maxAnswer = 64 << 20

// A Backend serves what one machine account may read. It implements
// backend.Backend, Indexer, Notifier, Refresher, Locker, Unlocker and Reporter.
type Backend struct {
	settings      Settings
	env           backend.Env
	identity, api *httpc.Client
	ctx           context.Context // ends with Close
	cancel        context.CancelFunc
	work          sync.WaitGroup
	begin         func() // starts polling, once
	wake          chan struct{}
	dirty         chan struct{}

	mu      sync.RWMutex // guards what follows
	session *session     // nil while not logged in
	sealed  string       // session as it is kept on disk, or ""
	vault   *vault       // nil before the first answer
	date    time.Time    // of the last answer, by the server's clock
	checked time.Time    // when it came
	asked   int          // how many questions were asked, one after the other
	answer  int          // which of them the last answer was to
	whole   time.Time    // when everything was fetched last
	early   float64      // the part of the TTL after which to ask again
	offline bool         // vault lay on the disk, and no answer has come since
	disk    bool         // the disk has been looked at
	written written      // what it has
	news    bool         // something has changed and nobody was told
	epoch   int          // goes up whenever all is forgotten
	run     *run         // the question under way
	failure error        // of the last question, nil if it was answered
	pause   httpc.Pause
	refused refusal
	idle    bool // locked: nothing is asked before it is unlocked
	changed func()
}

var (
	_ backend.Backend   = (*Backend)(nil)
	_ backend.Indexer   = (*Backend)(nil)
	_ backend.Notifier  = (*Backend)(nil)
	_ backend.Refresher = (*Backend)(nil)
	_ backend.Locker    = (*Backend)(nil)
	_ backend.Unlocker  = (*Backend)(nil)
	_ backend.Reporter  = (*Backend)(nil)
)

// Open is the backend.Opener for type bws. It asks nothing: the first request
// does.
func Open(config any, env backend.Env) (backend.Backend, error) {
	return New(config.(Settings), env, nil), nil
}

// New makes a Backend; network, if not nil, replaces the network.
func New(s Settings, env backend.Env, network http.RoundTripper) *Backend {
	client := func() *httpc.Client {
		return httpc.New(httpc.Config{Settings: s.HTTP, UserAgent: "secretfs", MaxBody: maxAnswer, Transport: network})
	}
	// Two, since each service has a quota of its own.
	b := &Backend{
		settings: s, env: env, identity: client(), api: client(),
		wake: make(chan struct{}, 1), dirty: make(chan struct{}, 1), early: 1,
	}
	b.ctx, b.cancel = context.WithCancel(context.Background())
	b.begin = sync.OnceFunc(func() { b.work.Go(b.poll) })
	b.restore(env.State.Saved)
	b.env.State.Saved = backend.Legacy{}
	if env.State.Save != nil || env.Disk != nil {
		b.work.Go(b.saving)
	}
	return b
}

var errClosed = fmt.Errorf("the backend is closed: %w", backend.ErrUnavailable)

// Close ends all work and wipes the session.
func (b *Backend) Close() error {
	b.cancel()
	b.mu.Lock()
	b.drop()
	b.mu.Unlock()
	b.work.Wait()
	b.identity.Close()
	b.api.Close()
	return nil
}

// drop forgets session and secrets. mu is held.
func (b *Backend) drop() {
	b.session.destroy()
	b.vault.destroy()
	b.session, b.vault, b.sealed = nil, nil, ""
	b.date, b.whole, b.offline, b.failure = time.Time{}, time.Time{}, false, nil
	b.epoch++
}

// Get decrypts the secret that key names.
func (b *Backend) Get(ctx context.Context, key string) (*backend.Secret, error) {
	b.awake()
	ttl := b.env.Timings.Of(key).TTL
	s, err := b.get(ctx, key, ttl)
	if errors.Is(err, backend.ErrNotFound) && ttl > missTTL {
		return b.get(ctx, key, missTTL) // somebody may have just made it
	}
	return s, err
}

// missTTL is how old the knowledge may be that there is no such secret.
const missTTL = 10 * time.Second

func (b *Backend) get(ctx context.Context, key string, ttl time.Duration) (*backend.Secret, error) {
	why := b.fresh(ctx, key, ttl)
	if errors.Is(why, context.Canceled) {
		return nil, why
	}
	b.mu.RLock()
	defer b.mu.RUnlock()
	if why != nil && !b.standsIn(key, why) {
		return nil, why
	}
	if b.vault == nil { // closed or locked meanwhile
		return nil, errClosed
	}
	it, field, err := b.vault.lookup(key)
	switch {
	case err != nil && why != nil:
		return nil, why
	case err != nil:
		return nil, err
	}
	sealed, version, _ := it.field(field)
	v, err := b.vault.open(sealed)
	if err != nil {
		return nil, backend.Alone(fmt.Errorf("decrypting %s of secret %s: %w", field, it.wire.ID, err))
	}
	return &backend.Secret{Value: v, Version: version, Stale: why}, nil
}

// standsIn says whether the last answer is served although the server cannot be
// asked. mu is held.
func (b *Backend) standsIn(key string, why error) bool {
	if b.vault == nil || !errors.Is(why, backend.ErrUnavailable) && !errors.Is(why, backend.ErrTimeout) {
		return false
	}
	if b.offline {
		limit := b.env.OfflineMaxAge
		return limit == 0 || age(b.checked) <= limit
	}
	return age(b.checked) <= b.env.Timings.Of(key).MaxStale
}

// lookup finds what a key means: a path of the tree, or a reference.
func (v *vault) lookup(key string) (it *item, field string, err error) {
	r, ok := parseRef(key)
	if !ok {
		if it, _ := v.at(key); it != nil {
			return it, fieldValue, nil
		}
		return nil, "", fmt.Errorf("there is nothing at %q that the machine account may read: %w", key, backend.ErrNotFound)
	}
	if it, err = v.find(r); err != nil {
		return nil, "", err
	}
	if _, _, ok := it.field(r.field); !ok {
		return nil, "", fmt.Errorf("a secret has no field %q: %w", r.field, backend.ErrNotFound)
	}
	return it, r.field, nil
}

// age of what happened then. A clock that was set back makes nothing old.
func age(then time.Time) time.Duration { return max(time.Since(then), 0) }

// Lock forgets session, secrets and what the next process would have had.
func (b *Backend) Lock(context.Context) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.drop()
	b.idle, b.refused = true, refusal{}
	b.pause.End()
	b.touch()
	return nil
}

// Notify has changed called after each change of what is served.
func (b *Backend) Notify(changed func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.changed = changed
}

// State tells how the last question went.
func (b *Backend) State() (backend.State, error) {
	b.mu.RLock()
	defer b.mu.RUnlock()
	switch {
	case b.failure == nil && b.vault == nil:
		return backend.Unread, nil
	case b.failure == nil:
		return backend.Ready, nil
	case b.standsIn("", b.failure):
		return backend.Stale, b.failure
	}
	return backend.StateOf(b.failure), b.failure
}
