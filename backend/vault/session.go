package vault

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"time"

	"github.com/secretfs/secretfs/backend"
	"github.com/secretfs/secretfs/backend/secret"
)

const (
	// firstPause and lastPause bound how long logging in is left alone once the
	// server has refused it: a wrong password must not lock an account.
	firstPause = 2 * time.Second
	lastPause  = 5 * time.Minute
)

// A session is a token. Its fields are guarded by Backend.mu.
type session struct {
	token    *secret.Value
	accessor string
	policies []string
	ours     bool // we logged in for it, and may revoke it
	known    bool // what follows is known: of a token that was given it has to be asked
	span
}

// A span is the life of a token or of a lease.
type span struct {
	Renewable bool
	Length    time.Duration // as granted; 0 for no end
	Expires   time.Time     // zero for no end
	Due       time.Time     // when something is to be done about it; zero for never
	Failures  int           // of doing it, in a row
}

// begin starts a span now: something is due at two thirds of it, somewhat earlier
// or later, so that machines that started together do not ask together.
func (s *span) begin(length time.Duration, renewable bool) {
	*s = span{Renewable: renewable, Length: length}
	if length > 0 {
		now := time.Now()
		s.Expires = now.Add(length)
		s.Due = now.Add(time.Duration(float64(length) * (0.62 + 0.08*rand.Float64())))
	}
}

// renewed goes on with a span. A server that grants clearly less than at first will
// grant no more: then it is to be replaced.
func (s *span) renewed(length time.Duration, renewable bool) {
	first := max(s.Length, length)
	s.begin(length, renewable && length >= first*9/10)
	s.Length = first
}

// later tries again soon, and less and less often.
func (s *span) later() {
	s.Failures++
	pause := min(time.Second<<min(s.Failures-1, 5), 30*time.Second)
	s.Due = time.Now().Add(pause/2 + rand.N(pause/2))
}

// over goes by both clocks: the one that people set, and the one that stands still
// while the machine sleeps.
func (s *span) over() bool { return !s.Expires.IsZero() && reached(s.Expires) }

func reached(t time.Time) bool {
	now := time.Now()
	return !now.Before(t) || !now.Round(0).Before(t.Round(0))
}

// share is the token for one call; the caller destroys it.
func (b *Backend) share(s *session) *secret.Value {
	b.mu.Lock()
	defer b.mu.Unlock()
	return s.token.Share()
}

// An epoch ends with Lock. What was begun in an earlier one does not log in again.
type epoch struct{}

// now puts the present epoch into ctx.
func (b *Backend) now(ctx context.Context) context.Context {
	b.mu.Lock()
	defer b.mu.Unlock()
	return context.WithValue(ctx, epoch{}, b.epoch)
}

var errLocked = fmt.Errorf("it was locked meanwhile: %w", backend.ErrLocked)

// session is the one in force, or a new one. ctx has been through now.
func (b *Backend) session(ctx context.Context) (*session, error) {
	if s := b.living(); s != nil {
		return s, nil
	}
	select {
	case b.loggingIn <- struct{}{}:
		defer func() { <-b.loggingIn }()
	case <-ctx.Done():
		return nil, ended(ctx)
	}
	if s := b.living(); s != nil { // somebody else was quicker
		return s, nil
	}
	if err := b.mayLogin(ctx); err != nil {
		return nil, err
	}
	s, err := b.login(ctx)
	if err != nil {
		b.loginFailed(err)
		return nil, err
	}
	return s, b.begin(ctx, s)
}

func (b *Backend) living() *session {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := b.current
	if s != nil && s.over() {
		b.end(s, fmt.Errorf("the token ran out at %s: %w", s.Expires.UTC().Format(time.RFC3339), backend.ErrExpired))
		return nil
	}
	return s
}

// end takes leave of a session. The leases that it was given end with it. The
// caller holds mu.
func (b *Backend) end(s *session, why error) {
	if b.current == s {
		b.current = nil
	}
	b.orphan(s)
	if !s.ours {
		b.remember(s.token, why)
	}
	s.token.Destroy()
	b.poke()
}

// begin makes s the session in force, unless everything was locked meanwhile.
func (b *Backend) begin(ctx context.Context, s *session) error {
	b.mu.Lock()
	if err := b.past(ctx); err != nil {
		b.mu.Unlock()
		s.token.Destroy()
		return err
	}
	old := b.current
	b.current, b.refusal = s, pause{}
	if old != nil {
		b.end(old, nil)
	}
	b.mu.Unlock()
	b.wake()
	b.save()
	return nil
}

// bury ends a session whose token is dead.
func (b *Backend) bury(s *session, why error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if s.token.Bytes() == nil { // somebody else was quicker
		return
	}
	b.cfg.Log.Info("the token is dead, getting another", "why", why)
	s.Expires = time.Now()
	b.end(s, why)
}

// mayLogin says why not.
func (b *Backend) mayLogin(ctx context.Context) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.past(ctx); err != nil {
		return err
	}
	return b.refusal.still()
}

// past says that what ctx is of has come to an end. The caller holds mu.
func (b *Backend) past(ctx context.Context) error {
	switch {
	case b.closed:
		return errClosed
	case ctx.Value(epoch{}) != b.epoch:
		return errLocked
	}
	return nil
}

// A loginRefusal is the error of a login that the server has refused.
type loginRefusal struct{ error }

func (r loginRefusal) Unwrap() error { return r.error }

// loginFailed begins or lengthens the pause, if the server has refused us.
func (b *Backend) loginFailed(err error) {
	if _, refused := errors.AsType[loginRefusal](err); !refused {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.refusal.begin(err, firstPause, lastPause)
}

// A pause is a time in which something is not tried again.
type pause struct {
	err    error
	until  time.Time
	length time.Duration
}

// begin begins a pause because of err, twice as long as the one before.
func (p *pause) begin(err error, first, last time.Duration) {
	p.length = min(max(2*p.length, first), last)
	p.err, p.until = err, time.Now().Add(p.length/2+rand.N(p.length/2))
}

// still is why nothing is tried now.
func (p *pause) still() error {
	left := time.Until(p.until)
	if left <= 0 {
		return nil
	}
	return fmt.Errorf("%w (not tried again for %s)", p.err, (left + time.Second - 1).Truncate(time.Second))
}

// self is what a token says of itself (auth/token/lookup-self).
type self struct {
	Accessor  string   `json:"accessor"`
	Policies  []string `json:"policies"`
	TTL       int64    `json:"ttl"` // seconds, 0 for one that never runs out
	Renewable bool     `json:"renewable"`
}

// examine says whether the token of s is dead: nil if it is good, or if that
// cannot be found out.
func (b *Backend) examine(ctx context.Context, s *session) error {
	token := b.share(s)
	defer token.Destroy()
	if token.Bytes() == nil { // somebody else has buried it
		return backend.ErrRejected
	}
	a, err := b.send(ctx, token, request{method: http.MethodGet, path: "auth/token/lookup-self"})
	if statusOf(err) == http.StatusForbidden {
		b.mu.Lock()
		defer b.mu.Unlock()
		if !s.Expires.IsZero() && time.Until(s.Expires) < time.Second {
			return fmt.Errorf("the token has run out: %w", backend.ErrExpired)
		}
		return fmt.Errorf("the token is unknown to the server: it was revoked, or has run out: %w", backend.ErrRejected)
	}
	if err != nil {
		return nil
	}
	defer a.wipe()
	b.learn(s, a)
	return nil
}

// learn takes what lookup-self says.
func (b *Backend) learn(s *session, a *answer) {
	var me self
	if json.Unmarshal(a.Data, &me) != nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	s.accessor, s.policies = me.Accessor, me.Policies
	if !s.known {
		s.known = true
		s.begin(time.Duration(me.TTL)*time.Second, me.Renewable)
	}
}
