package bitwarden

import (
	"context"
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
	backend.Changes
	cfg    Settings
	env    backend.Env
	log    *slog.Logger
	client *api.Client
	purse  *purse
	ctx    context.Context // ends with Close
	cancel context.CancelFunc
	tasks  sync.WaitGroup
	// turn is held by whoever uses the session.
	turn     chan struct{}
	session  *session
	live     atomic.Bool    // the server tells us of changes
	saved    backend.Legacy // until the first use
	versions *versions
	copied   time.Time // what the copy on the disk says of its age

	mu       sync.Mutex // guards what follows
	flight   *flight    // the update that is under way, or nil
	tried    bool
	err      error // of the last update
	pause    time.Duration
	again    time.Time // after a failure, when it is worth trying again
	polls    bool
	noted    map[string]bool    // what was told once
	outcomes map[string]outcome // by key

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
func New(cfg Settings, env backend.Env) (*Backend, error) { return NewOver(cfg, env, nil) }

// NewOver is New with something in the place of the network, for tests.
func NewOver(cfg Settings, env backend.Env, network http.RoundTripper) (*Backend, error) {
	b := &Backend{
		cfg: cfg, env: env, log: env.Log, purse: newPurse(&env), turn: make(chan struct{}, 1), noted: map[string]bool{}, outcomes: map[string]outcome{},
		came: make(chan struct{}), versions: newVersions(), saved: backend.Legacy{Rest: env.State.Saved.Rest},
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
	b.client = api.New(api.Config{Settings: cfg.HTTP, Hosts: cfg.Hosts, Header: b.header, Timeout: max(b.env.Timeout, callTime), Transport: network})
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
	b.versions.wipe()
	b.vaultMu.Lock()
	defer b.vaultMu.Unlock()
	if b.vault != nil {
		b.vault.Destroy()
		b.vault, b.came = nil, make(chan struct{})
	}
}

func (b *Backend) tell() {
	if b.ctx.Err() == nil {
		b.Tell()
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
