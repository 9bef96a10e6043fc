package keys

import (
	"context"
	"errors"
	"path/filepath"
	"sync"

	"github.com/ProtonMail/go-crypto/openpgp/packet"

	"github.com/secretfs/secretfs/backend"
	"github.com/secretfs/secretfs/backend/helper"
	"github.com/secretfs/secretfs/backend/secret"
)

// A Ring recovers data keys with the identities of one Config. It is safe for
// concurrent use.
//
// Parsed keys stay on the Go heap, where the age and OpenPGP libraries put them
// and cannot wipe them; secret.Harden is the net under them. The text of the key
// files is read into locked memory and wiped at once.
type Ring struct {
	cfg        Config
	start      helper.Starter
	passphrase Passphrase
	opening    chan struct{} // held by Open
	lender     Lender        // where credentials come from

	mu     sync.Mutex
	files  []*keyFile
	closed bool
}

// A hand is what the key files hold at one moment.
type hand struct {
	ages     []ageIdentity
	plugins  []pluginIdentity
	pgp      []*packet.PrivateKey
	problems []string
}

// New makes a Ring. It reads nothing yet: key files may appear later. start starts
// the helpers for gpg, age plugins and cloud keys; where nil, none of those open
// anything.
func New(cfg Config, start helper.Starter) *Ring {
	r := &Ring{cfg: cfg, start: start, opening: make(chan struct{}, 1)}
	for _, path := range cfg.files() {
		r.files = append(r.files, &keyFile{path: path})
	}
	return r
}

// Borrow has r get credentials from l. Call it before any other method.
func (r *Ring) Borrow(l Lender) *Ring {
	r.lender = l
	return r
}

// DataKey recovers the data key of 32 bytes, which the caller destroys. It asks
// what is in this process first, helpers after that, and ends with ctx.
//
// The error names every cause in one sentence and wraps ErrLocked (nothing at
// hand matches), ErrRejected (a key is there and was refused), ErrExpired,
// ErrUnavailable, ErrTimeout or ErrCorrupt of package backend; where ctx was
// cancelled, context.Canceled.
func (r *Ring) DataKey(ctx context.Context, m Metadata) (*secret.Value, error) {
	return r.withProtected(ctx, func() (*secret.Value, error) { return r.dataKey(ctx, m) })
}

// withProtected has recover try with the identities that take no passphrase, and
// again once those are open that take one.
func (r *Ring) withProtected(ctx context.Context, recover func() (*secret.Value, error)) (*secret.Value, error) {
	closed := len(r.closedFiles()) > 0
	v, err := recover()
	if !closed || err == nil || ctx.Err() != nil || errors.Is(err, backend.ErrCorrupt) {
		return v, err
	}
	why := r.Open(ctx)
	switch {
	case why == nil: // perhaps for somebody else, meanwhile
		return recover()
	case ctx.Err() != nil:
		return nil, err
	}
	return nil, helper.Refuse(worst([]error{err, why}), "%v; %v", err, why)
}

func (r *Ring) dataKey(ctx context.Context, m Metadata) (*secret.Value, error) {
	h, err := r.take()
	if err != nil {
		return nil, err
	}
	s, err := newSearch(m)
	if err != nil {
		return nil, err
	}
	defer s.destroy()
	if err := s.run(ctx, r.openers(h)); err != nil {
		return nil, err
	}
	return s.combine(h)
}

// openers are the ways to open a master key, cheap ones first.
func (r *Ring) openers(h *hand) []opener {
	return []opener{
		h.openAge,
		h.openPGP,
		r.askGPG,
		r.askPlugin(h, true),
		r.askPlugin(h, false),
		r.askCloud,
		r.askService,
	}
}

// take reads what changed and answers with all that is at hand.
func (r *Ring) take() (*hand, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return nil, errors.New("recovering a data key: the identities are closed")
	}
	h := &hand{}
	for _, f := range r.files {
		f.load()
		h.ages = append(h.ages, f.ages...)
		h.plugins = append(h.plugins, f.plugins...)
		h.pgp = append(h.pgp, f.pgp...)
		h.problems = append(h.problems, f.problems...)
	}
	return h, nil
}

// Sources are the paths whose change may change what DataKey answers, for a
// watcher. They need not exist.
func (r *Ring) Sources() []string {
	paths := r.cfg.files()
	if r.cfg.GnupgHome != "" {
		for _, name := range []string{"private-keys-v1.d", "pubring.gpg", "pubring.kbx"} {
			paths = append(paths, filepath.Join(r.cfg.GnupgHome, name))
		}
	}
	return paths
}

// Close lets go of all keys. DataKey fails from then on.
func (r *Ring) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, f := range r.files {
		f.forget()
	}
	r.closed, r.files = true, nil
	return nil
}
