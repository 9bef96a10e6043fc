package bitwarden

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/secretfs/secretfs/backend"
	"github.com/secretfs/secretfs/backend/bitwarden/api"
	"github.com/secretfs/secretfs/backend/bitwarden/vault"
	"github.com/secretfs/secretfs/backend/secret"
)

// A Backend serves the items of one vault. It implements backend.Backend,
// Indexer, Lister, Notifier, Refresher, Locker, Unlocker and Reporter.
type Backend struct {
	cfg    Settings
	env    backend.Env
	log    *slog.Logger
	client *api.Client
	purse  *purse
	ctx    context.Context // ends with Close
	cancel context.CancelFunc
	tasks  sync.WaitGroup
	// turn is held by whoever uses the session.
	turn    chan struct{}
	session *session
	live    atomic.Bool    // the server tells us of changes
	saved   backend.Legacy // until the first use
	copied  time.Time      // what the copy on the disk says of its age

	mu     sync.Mutex // guards what follows
	flight *flight    // the update that is under way, or nil
	notice func()     // who wants to know of changes, or nil
	tried  bool
	err    error // of the last update
	pause  time.Duration
	again  time.Time // after a failure, when it is worth trying again
	polls  bool
	noted  map[string]bool // what was told once
	failed map[string]failure

	vaultMu sync.RWMutex // guards what follows; held while an item is opened
	vault   *vault.Vault
	head    copyHead
	offline bool          // the vault comes from a disk, and no server has confirmed it
	came    chan struct{} // closed when a vault comes
}

var (
	_ backend.Backend   = (*Backend)(nil)
	_ backend.Indexer   = (*Backend)(nil)
	_ backend.Notifier  = (*Backend)(nil)
	_ backend.Refresher = (*Backend)(nil)
	_ backend.Lister    = (*Backend)(nil)
	_ backend.Locker    = (*Backend)(nil)
	_ backend.Unlocker  = (*Backend)(nil)
	_ backend.Reporter  = (*Backend)(nil)
)

// Open is the backend.Opener for type bitwarden.
func Open(config any, env backend.Env) (backend.Backend, error) {
	return New(config.(Settings), env)
}

// New makes a Backend. It reaches out to nobody: the first request does.
func New(cfg Settings, env backend.Env) (*Backend, error) {
	b := &Backend{
		cfg: cfg, env: env, log: env.Log, purse: newPurse(&env), turn: make(chan struct{}, 1), noted: map[string]bool{}, failed: map[string]failure{},
		came: make(chan struct{}), saved: backend.Legacy{Rest: env.State.Saved.Rest},
	}
	if b.log == nil {
		b.log = slog.New(slog.DiscardHandler)
	}
	if b.env.Timeout <= 0 {
		b.env.Timeout = backend.DefaultTimeout
	}
	if keys := env.State.Saved.Keys; keys.Len() > 0 { // which are wiped when we return
		v, err := secret.New(keys.Len())
		if err != nil {
			return nil, err
		}
		copy(v.Bytes(), keys.Bytes())
		b.saved.Keys = v
	}
	b.env.State.Saved = backend.Legacy{}
	b.ctx, b.cancel = context.WithCancel(context.Background())
	b.client = api.New(api.Config{Settings: cfg.HTTP, Hosts: cfg.Hosts, Header: b.header, Timeout: max(b.env.Timeout, callTime)})
	b.session = &session{cfg: &b.cfg, purse: b.purse, client: b.client, helper: env.Helper, log: b.log}
	return b, nil
}

// header is what the policy wants to go with each request.
func (b *Backend) header(ctx context.Context) (http.Header, error) {
	h := http.Header{}
	for name, text := range b.cfg.Plain {
		h.Set(name, text)
	}
	for _, s := range b.cfg.Headers {
		v, err := b.purse.get(ctx, s)
		if err != nil {
			return nil, err
		}
		h.Set(s.Field, string(v.Bytes())) // net/http takes strings
		v.Destroy()
	}
	return h, nil
}

// A failure is why a version of a secret could not be opened.
type failure struct {
	version backend.Version
	err     error
}

var errLocked = fmt.Errorf("the vault is locked: %w", backend.ErrLocked)

var errClosed = fmt.Errorf("the backend is closed: %w", backend.ErrUnavailable)

// Close ends what is under way and wipes keys and tokens.
func (b *Backend) Close() error {
	b.mu.Lock() // no task begins after this
	b.cancel()
	b.mu.Unlock()
	b.tasks.Wait() // all of them end with b.ctx
	b.turn <- struct{}{}
	defer b.giveTurn()
	b.wipe()
	b.saved.Keys.Destroy()
	b.saved = backend.Legacy{}
	b.client.Close()
	return nil
}

// wipe is called with the turn.
func (b *Backend) wipe() {
	b.session.forget()
	b.vaultMu.Lock()
	defer b.vaultMu.Unlock()
	if b.vault != nil {
		b.vault.Destroy()
		b.vault, b.came = nil, make(chan struct{})
	}
}

// Get opens the field that key names.
func (b *Backend) Get(ctx context.Context, key string) (*backend.Secret, error) {
	stale, err := b.current(ctx, b.env.Timings.Of(key).MaxStale)
	if err != nil {
		return nil, err
	}
	place, err := b.look(key)
	if errors.Is(err, backend.ErrNotFound) && stale == nil && b.lookAgain(ctx) {
		place, err = b.look(key)
	}
	if err != nil {
		return nil, err
	}
	defer place.Destroy()
	b.tellOnce(key, place.Notice)
	now := time.Now()
	version, err := place.Version(now)
	if err != nil {
		return nil, backend.Alone(err)
	}
	v, err := b.open(ctx, place, now)
	b.note(key, version, err)
	if err != nil {
		return nil, err
	}
	return &backend.Secret{Value: v, Version: version, Stale: stale}, nil
}

// note remembers, for Stat, how opening a secret ended.
func (b *Backend) note(key string, version backend.Version, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.failed[key] = (failure{version, err}); err == nil {
		delete(b.failed, key)
	}
}

func (b *Backend) open(ctx context.Context, place *vault.Place, now time.Time) (*secret.Value, error) {
	if place.Attachment != "" {
		return b.attachment(ctx, place)
	}
	v, err := place.Open(now)
	if err != nil {
		return nil, backend.Alone(err)
	}
	return v, nil
}

// look finds the place of key in the vault that is there.
func (b *Backend) look(key string) (*vault.Place, error) {
	b.vaultMu.RLock()
	defer b.vaultMu.RUnlock()
	if b.vault == nil {
		return nil, errLocked
	}
	place, err := b.vault.LookKey(key)
	if err != nil {
		return nil, backend.Alone(err)
	}
	return place, nil
}

// tellOnce puts something about a key into the log, once.
func (b *Backend) tellOnce(key, what string) {
	if what == "" {
		return
	}
	b.mu.Lock()
	told := b.noted[key]
	b.noted[key] = true
	b.mu.Unlock()
	if !told {
		b.log.Warn(what, "key", key)
	}
}

// Stat tells the version of what key names; its size shows when it is opened.
func (b *Backend) Stat(_ context.Context, key string) (backend.Info, error) {
	unknown := backend.Info{Size: backend.SizeUnknown}
	b.vaultMu.RLock()
	defer b.vaultMu.RUnlock()
	if b.vault == nil {
		b.mu.Lock()
		defer b.mu.Unlock()
		unknown.Err = b.err
		return unknown, nil
	}
	if key == "" {
		return backend.Info{Size: backend.SizeUnknown, Dir: true}, nil
	}
	place, err := b.vault.LookKey(key)
	if err != nil {
		return backend.Info{}, backend.Alone(err)
	}
	defer place.Destroy()
	if unknown.Version, err = place.Version(time.Now()); err != nil {
		unknown.Err = backend.Alone(err)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if f := b.failed[key]; f.err != nil && f.version == unknown.Version {
		unknown.Err = f.err
	}
	return unknown, nil
}

// List gives the keys of all items at the top; there is nothing below. People are
// shown Entries.
func (b *Backend) List(_ context.Context, key string) ([]backend.Entry, error) {
	b.vaultMu.RLock()
	defer b.vaultMu.RUnlock()
	switch {
	case b.vault == nil:
		return nil, errLocked
	case key != "":
		return nil, fmt.Errorf("there is no directory %q: %w", key, backend.ErrNotFound)
	}
	return b.vault.Keys(), nil
}

// Entries lists folders, collections, and items.
func (b *Backend) Entries(ctx context.Context, place string) ([]backend.Item, error) {
	if _, err := b.current(ctx, b.env.Timings.Default.MaxStale); err != nil {
		return nil, err
	}
	b.vaultMu.RLock()
	defer b.vaultMu.RUnlock()
	if b.vault == nil {
		return nil, errLocked
	}
	return b.vault.Entries(place)
}

// Notify has changed called after each change of the vault. Call it before the
// first Get.
func (b *Backend) Notify(changed func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.notice = changed
}

func (b *Backend) tell() {
	b.mu.Lock()
	notice := b.notice
	b.mu.Unlock()
	if notice != nil && b.ctx.Err() == nil {
		notice()
	}
}

// State tells how the last attempt to ask the server went.
func (b *Backend) State() (backend.State, error) {
	b.vaultMu.RLock()
	there := b.vault != nil
	b.vaultMu.RUnlock()
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case !b.tried:
		return backend.Unread, nil
	case b.err == nil:
		return backend.Ready, nil
	case there:
		return backend.Stale, b.err
	}
	return backend.StateOf(b.err), b.err
}
