package vault

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/secretfs/secretfs/backend"
	"github.com/secretfs/secretfs/backend/credential"
	"github.com/secretfs/secretfs/backend/httpc"
	"github.com/secretfs/secretfs/backend/secret"
)

// A Config says which server a Backend asks, and as whom. Funcs may be nil.
type Config struct {
	Settings
	Timeout time.Duration // of one fetch, and of each call in the background
	// Timing says for how long what was written is held where neither a lease
	// nor the answer tells.
	Timings backend.Timings
	// Credential, Forget and Save are those of backend.Env and its Slot.
	Credential func(ctx context.Context, s credential.Source) (*secret.Value, error)
	Forget     func(s credential.Source)
	Save       func(backend.Legacy)
	Saved      backend.Legacy // is not used after New has returned
	Log        *slog.Logger
	Transport  http.RoundTripper // replaces the network, in tests
}

// A Backend reads from one server. It implements backend.Backend, Remote,
// Lister, Notifier, Refresher, Locker, Unlocker and Revoker.
type Backend struct {
	backend.Changes
	cfg    Config
	client *httpc.Client
	ctx    context.Context // ends with Close
	cancel context.CancelFunc
	// loggingIn is held by whoever logs in.
	loggingIn chan struct{}
	alarm     chan struct{} // something has come due, or may have
	tending   sync.WaitGroup
	saving    sync.Mutex  // one state at a time, the newest last
	telling   atomic.Bool // of a change, in a moment

	mu          sync.Mutex // guards what follows, sessions and leases
	closed      bool
	epoch       int             // how often all was locked
	begun       bool            // something tends to what has come due
	followed    map[string]bool // paths of the API whose changes matter
	mac         *secret.Value   // keys digest
	current     *session
	refusal     pause
	dead        *secret.Value // the token that is known to be of no use
	deadBecause error
	inner       *secret.Value // what a wrapping token held
	mounts      map[string]*mount
	leases      map[string]*lease // by request
}

var (
	_ backend.Backend   = (*Backend)(nil)
	_ backend.Remote    = (*Backend)(nil)
	_ backend.Lister    = (*Backend)(nil)
	_ backend.Notifier  = (*Backend)(nil)
	_ backend.Refresher = (*Backend)(nil)
	_ backend.Locker    = (*Backend)(nil)
	_ backend.Unlocker  = (*Backend)(nil)
	_ backend.Revoker   = (*Backend)(nil)
)

const (
	macLen         = 32
	userAgent      = "secretfs"
	defaultTimeout = 5 * time.Second
)

// New makes a Backend. It asks nothing: the first request does.
func New(cfg Config) (*Backend, error) {
	if cfg.Timeout <= 0 {
		cfg.Timeout = defaultTimeout
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	b := &Backend{
		cfg: cfg, loggingIn: make(chan struct{}, 1), alarm: make(chan struct{}, 1),
		mounts: map[string]*mount{}, leases: map[string]*lease{}, followed: map[string]bool{},
		client: httpc.New(httpc.Config{
			Settings: cfg.Settings.Settings, UserAgent: userAgent, Peers: cfg.Standbys, Transport: cfg.Transport,
		}),
	}
	b.ctx, b.cancel = context.WithCancel(context.Background())
	err := b.restore(cfg.Saved)
	b.cfg.Saved = backend.Legacy{}
	return b, err
}

// Open is the backend.Opener for type vault.
func Open(config any, env backend.Env) (backend.Backend, error) {
	return New(Config{
		Settings: config.(Settings), Timeout: env.Timeout, Timings: env.Timings,
		Credential: env.Credential, Forget: env.Forget,
		Save: env.State.Save, Saved: env.State.Saved, Log: env.Log,
	})
}

var errClosed = fmt.Errorf("the backend is closed: %w", backend.ErrUnavailable)

// Close wipes everything. What the server has granted lives on, for the next
// process.
func (b *Backend) Close() error {
	b.mu.Lock()
	b.closed = true
	b.mu.Unlock()
	b.cancel()
	b.tending.Wait()
	b.mu.Lock()
	defer b.mu.Unlock()
	b.wipe()
	b.mac.Destroy()
	b.client.Close()
	return nil
}

// wipe forgets all that opens something. The caller holds mu.
func (b *Backend) wipe() {
	for request, l := range b.leases {
		l.data.Destroy()
		delete(b.leases, request)
	}
	if b.current != nil {
		b.current.token.Destroy()
		b.current = nil
	}
	b.dead.Destroy()
	b.inner.Destroy()
	b.dead, b.inner, b.refusal = nil, nil, pause{}
}

// Get fetches the secret that key, as Reference makes it, names.
func (b *Backend) Get(ctx context.Context, key string) (*backend.Secret, error) {
	r, err := parse(key)
	if err != nil {
		return nil, err
	}
	s, err := b.get(b.now(ctx), r)
	if err != nil {
		if ctx.Err() != nil {
			err = ended(ctx)
		}
		return nil, fmt.Errorf("reading %s from %s: %w", r.Path, b.cfg.Address, err)
	}
	return s, nil
}

func (b *Backend) get(ctx context.Context, r reference) (*backend.Secret, error) {
	if err := ctx.Err(); err != nil {
		return nil, ended(ctx)
	}
	if r.Data != "" {
		return b.leased(ctx, r)
	}
	m, err := b.mountOf(ctx, r.Path)
	if err != nil {
		return nil, err
	}
	return b.getFrom(ctx, r, m)
}

func (b *Backend) getFrom(ctx context.Context, r reference, m *mount) (*backend.Secret, error) {
	if m.kv() {
		return b.getKV(ctx, r, m)
	}
	return b.leased(ctx, r)
}

// digest is a version of what the server gives none for. It is keyed, so that it
// tells nothing of the plaintext.
func (b *Backend) digest(parts ...any) backend.Version {
	b.mu.Lock()
	defer b.mu.Unlock()
	h := hmac.New(sha256.New, b.mac.Bytes())
	for _, p := range parts {
		switch p := p.(type) {
		case string:
			fmt.Fprintf(h, "%d:%s", len(p), p)
		case []byte:
			fmt.Fprintf(h, "%d:", len(p))
			h.Write(p)
		}
	}
	return backend.Version(hex.EncodeToString(h.Sum(nil)[:12]))
}

// Polls says that secrets may be asked for again: KV secrets change without notice,
// and what has a lease costs no request.
func (b *Backend) Polls() bool { return true }

func (b *Backend) tell() {
	if b.ctx.Err() == nil {
		b.Tell()
	}
}
