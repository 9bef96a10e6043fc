package bws

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"time"

	"github.com/secretfs/secretfs/backend"
	"github.com/secretfs/secretfs/backend/httpc"
)

// maxRefusal is the longest pause before an access token that was refused is
// tried again: logins have a quota, and it may have been refused by mistake.
const maxRefusal = 5 * time.Minute

// A refusal remembers an access token that was refused, so that it does not use up
// the quota of logins. Another one is tried at once.
type refusal struct {
	mac   [sha256.Size]byte // of the token
	err   error
	pause httpc.Pause
}

// macKey makes the MAC of a token worthless outside of this process.
var macKey = func() (k [32]byte) { rand.Read(k[:]); return k }()

func (t *token) mac() (sum [sha256.Size]byte) {
	h := hmac.New(sha256.New, macKey[:])
	h.Write(t.whole.Bytes())
	h.Sum(sum[:0])
	return sum
}

// loggedIn is a session that should still be good. The caller destroys it.
func (b *Backend) loggedIn(ctx context.Context) (*session, error) {
	if s := b.lasting(); s != nil {
		return s, nil
	}
	if b.fromDisk(ctx) {
		if s := b.lasting(); s != nil {
			return s, nil
		}
	}
	return b.login(ctx)
}

func (b *Backend) lasting() *session {
	b.mu.RLock()
	defer b.mu.RUnlock()
	if b.session == nil || time.Now().After(b.session.expires) {
		return nil
	}
	return b.session.share()
}

func (s *session) share() *session {
	c := *s
	c.jwt, c.key = s.jwt.Share(), s.key.Share()
	return &c
}

// login opens a new session. The caller destroys what it gets.
func (b *Backend) login(ctx context.Context) (*session, error) {
	b.mu.RLock()
	epoch := b.epoch
	b.mu.RUnlock()
	t, err := b.token(ctx)
	if err != nil {
		return nil, err
	}
	defer t.destroy()
	if err := b.refusedBefore(t); err != nil {
		return nil, err
	}
	s, err := b.logIn(ctx, t)
	switch {
	case errors.Is(err, errRefused):
		return nil, b.refuse(t, err)
	case errors.Is(err, backend.ErrRejected):
		b.forget()
		return nil, fmt.Errorf("%s: %w", b.settings.AccessToken, err)
	case err != nil:
		return nil, err
	}
	sealed, err := s.seal(t.key)
	if err != nil {
		b.warn("keeping the session", err)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.epoch != epoch {
		s.destroy()
		return nil, fmt.Errorf("locked while logging in: %w", backend.ErrLocked)
	}
	b.session.destroy()
	b.session, b.sealed, b.refused = s, sealed, refusal{}
	b.touch()
	return s.share(), nil
}

func (b *Backend) refusedBefore(t *token) error {
	b.mu.RLock()
	defer b.mu.RUnlock()
	if b.refused.err != nil && b.refused.mac == t.mac() && b.refused.pause.Left() > 0 {
		return b.refused.err
	}
	return nil
}

// refuse forgets everything that an access token gave which is refused now, on
// disk too: whoever revokes it means that.
func (b *Backend) refuse(t *token, err error) error {
	b.forget()
	mac := t.mac()
	b.mu.Lock()
	defer b.mu.Unlock()
	what := fmt.Errorf("%s: %w: it is mistyped, revoked or expired; make a new one (Machine accounts, Access tokens): %w",
		b.settings.AccessToken, err, backend.ErrRejected)
	if b.session != nil || b.vault != nil {
		what = fmt.Errorf("%s: %w, which has worked before: it is revoked or expired; make a new one (Machine accounts, Access tokens): %w",
			b.settings.AccessToken, err, backend.ErrExpired)
	}
	if b.refused.mac != mac || b.refused.err == nil {
		b.refused = refusal{mac: mac, err: what}
	}
	b.refused.pause.Begin(maxRefusal)
	b.drop()
	b.disk = true
	b.removeDisk()
	b.touch()
	return b.refused.err
}

func (b *Backend) warn(doing string, err error) {
	if b.env.Log != nil {
		b.env.Log.Warn(doing, "error", err)
	}
}
