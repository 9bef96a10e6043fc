package bitwarden

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/secretfs/secretfs/backend"
	"github.com/secretfs/secretfs/backend/credential"
	"github.com/secretfs/secretfs/backend/secret"
)

// refusedFor is how long a credential that was refused is not shown again. A
// service that keeps crashing must not use up the logins of everybody behind
// the same address.
const refusedFor = 10 * time.Minute

// A purse gets credentials, and remembers which were refused. It is safe for
// concurrent use.
type purse struct {
	fetch  func(ctx context.Context, s credential.Source) (*secret.Value, error)
	forget func(s credential.Source)
	salt   [32]byte // of the digests, which mean nothing in another process

	mu      sync.Mutex
	refused map[[sha256.Size]byte]refusal
}

type refusal struct {
	err   error
	until time.Time
}

// A refusedBefore is an error for which nobody was asked anew.
type refusedBefore struct{ error }

func (r *refusedBefore) Unwrap() error { return r.error }

func newPurse(env *backend.Env) *purse {
	p := &purse{fetch: env.Credential, forget: env.Forget, refused: map[[sha256.Size]byte]refusal{}}
	rand.Read(p.salt[:])
	return p
}

// get gets a credential, which the caller destroys.
func (p *purse) get(ctx context.Context, s credential.Source) (*secret.Value, error) {
	if p.fetch == nil {
		return nil, fmt.Errorf("getting the %s: there is no way to get it here: %w", s, backend.ErrLocked)
	}
	return p.fetch(ctx, s)
}

// once gets a credential that is good for one use.
func (p *purse) once(ctx context.Context, s credential.Source) (*secret.Value, error) {
	v, err := p.get(ctx, s)
	if err == nil {
		p.drop(s)
	}
	return v, err
}

func (p *purse) drop(s credential.Source) {
	if s.Kind == credential.Ask && p.forget != nil {
		p.forget(s)
	}
}

func (p *purse) digest(v *secret.Value, with string) (d [sha256.Size]byte) {
	h := hmac.New(sha256.New, p.salt[:])
	h.Write(v.Bytes())
	h.Write([]byte("\x00" + with))
	copy(d[:], h.Sum(nil))
	return d
}

// mayTry refuses a credential that was refused a short while ago together with
// what it goes with.
func (p *purse) mayTry(v *secret.Value, with string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	d := p.digest(v, with)
	r, ok := p.refused[d]
	left := time.Until(r.until)
	if ok && left > 0 {
		return &refusedBefore{fmt.Errorf("%w (not tried again for %v, unless it changes, or by secretfs refresh)", r.err, left.Round(time.Second))}
	}
	delete(p.refused, d)
	return nil
}

// wrong notes that err came of v, if it says so, and gives it back.
func (p *purse) wrong(s credential.Source, err error, v *secret.Value, with string) error {
	if !errors.Is(err, backend.ErrRejected) {
		return err
	}
	p.drop(s)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.refused[p.digest(v, with)] = refusal{err, time.Now().Add(refusedFor)}
	return err
}

// forgive has everything tried again.
func (p *purse) forgive() {
	p.mu.Lock()
	defer p.mu.Unlock()
	clear(p.refused)
}
