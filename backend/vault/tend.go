package vault

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"github.com/secretfs/secretfs/backend"
)

// wake has what has come due looked at, from now on.
func (b *Backend) wake() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return
	}
	if !b.begun {
		b.begun = true
		b.tending.Go(b.tend)
	}
	b.poke()
}

func (b *Backend) poke() {
	select {
	case b.alarm <- struct{}{}:
	default:
	}
}

// nap is how late it may be noticed that something has come due while the machine
// slept: timers sleep too.
const nap = time.Minute

// tend renews the token and the leases, and replaces what cannot be renewed.
func (b *Backend) tend() {
	for {
		next, any := b.next()
		timer := time.NewTimer(min(max(time.Until(next), 0), nap))
		if !any {
			timer.Stop()
		}
		select {
		case <-b.ctx.Done():
			timer.Stop()
			return
		case <-b.alarm:
		case <-timer.C:
		}
		timer.Stop()
		b.tendSession()
		for request, l := range b.dueLeases() {
			b.tendLease(request, l)
		}
	}
}

// next is when something comes due.
func (b *Backend) next() (next time.Time, any bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	earlier := func(t time.Time) {
		if !t.IsZero() && (!any || t.Before(next)) {
			next, any = t, true
		}
	}
	if b.current != nil {
		earlier(b.current.Due)
	}
	for _, l := range b.leases {
		earlier(l.Due)
	}
	return next, any
}

func (b *Backend) within() (context.Context, context.CancelFunc) {
	return context.WithTimeout(b.now(b.ctx), b.cfg.Timeout)
}

// tendSession finds out about a token that was given, renews one that has come due,
// and logs in again where that is not possible.
func (b *Backend) tendSession() {
	b.mu.Lock()
	s := b.current
	if s == nil {
		b.mu.Unlock()
		return
	}
	known, renewable := s.known, s.Renewable
	due := !s.Due.IsZero() && reached(s.Due)
	b.mu.Unlock()
	ctx, cancel := b.within()
	defer cancel()
	switch {
	case !known:
		b.inquire(ctx, s)
	case due && renewable:
		b.renewToken(ctx, s)
	case due:
		b.replaceToken(ctx, s)
	}
}

// inquire finds out about a token that was given.
func (b *Backend) inquire(ctx context.Context, s *session) {
	if why := b.examine(ctx, s); why != nil {
		b.bury(s, why)
	}
	b.mu.Lock()
	if !s.known {
		s.later()
	}
	b.mu.Unlock()
	b.save()
}

// renewToken renews the token of s (auth/token/renew-self).
func (b *Backend) renewToken(ctx context.Context, s *session) {
	token := b.share(s)
	defer token.Destroy()
	a, err := b.send(ctx, token, request{method: http.MethodPost, path: "auth/token/renew-self", body: []byte("{}")})
	if err == nil && a.Auth == nil {
		a.wipe()
		err = fmt.Errorf("the answer holds no token: %w", backend.ErrUnavailable)
	}
	b.mu.Lock()
	switch {
	case err == nil:
		s.renewed(time.Duration(a.Auth.LeaseDuration)*time.Second, a.Auth.Renewable)
		a.wipe()
	case gone(err):
		s.Renewable = false
		s.Due = time.Now()
	default:
		s.later()
	}
	b.mu.Unlock()
	if err != nil {
		b.cfg.Log.Warn("renewing the token", "error", err)
	}
	b.save()
}

// replaceToken logs in anew before the old token ends. A given one stays until
// there is another.
func (b *Backend) replaceToken(ctx context.Context, s *session) {
	select {
	case b.loggingIn <- struct{}{}:
		defer func() { <-b.loggingIn }()
	case <-ctx.Done():
		return
	}
	err := b.mayLogin(ctx)
	var fresh *session
	if err == nil {
		fresh, err = b.login(ctx)
	}
	if err == nil && !b.differs(fresh, s) {
		fresh.token.Destroy()
		err = fmt.Errorf("it ends at %s, and there is no other yet: %w", s.Expires.UTC().Format(time.RFC3339), backend.ErrExpired)
	}
	if err == nil {
		err = b.begin(ctx, fresh)
	} else {
		b.loginFailed(err)
	}
	if err != nil {
		b.mu.Lock()
		s.later()
		if s.over() {
			s.Due = time.Time{} // whoever reads next finds out
		}
		first := s.Failures == 1
		b.mu.Unlock()
		if first {
			b.cfg.Log.Warn("getting a new token", "error", err)
		}
	}
}

func (b *Backend) differs(fresh, s *session) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return !fresh.token.Equal(s.token)
}

// dueLeases are those that something is to be done about.
func (b *Backend) dueLeases() map[string]*lease {
	b.mu.Lock()
	defer b.mu.Unlock()
	due := map[string]*lease{}
	for request, l := range b.leases {
		if l.data != nil && !l.Due.IsZero() && reached(l.Due) {
			due[request] = l
		}
	}
	return due
}

// tendLease renews a lease, replaces it, or notices its end.
func (b *Backend) tendLease(request string, l *lease) {
	select {
	case l.turn <- struct{}{}:
		defer func() { <-l.turn }()
	default: // somebody is at it
		b.mu.Lock()
		l.Due = time.Now().Add(time.Second)
		b.mu.Unlock()
		return
	}
	ctx, cancel := b.within()
	defer cancel()
	b.mu.Lock()
	over, renewable := l.over(), l.Renewable
	b.mu.Unlock()
	switch {
	case over:
		b.expire(l)
	case renewable:
		b.renewLease(ctx, l)
	default:
		b.replaceLease(ctx, request, l)
	}
}

// expire tells everybody that a lease has ended: what they have is of no use any
// more.
func (b *Backend) expire(l *lease) {
	b.mu.Lock()
	l.Due = time.Time{}
	l.data.Destroy()
	b.mu.Unlock()
	b.save()
	b.tell()
}

// renewLease renews a lease (sys/leases/renew).
func (b *Backend) renewLease(ctx context.Context, l *lease) {
	b.mu.Lock()
	id, length := l.id, l.Length
	b.mu.Unlock()
	body, err := json.Marshal(map[string]any{"lease_id": id, "increment": int64(length / time.Second)})
	var a *answer
	if err == nil {
		a, _, err = b.call(ctx, request{method: http.MethodPost, path: "sys/leases/renew", body: body, hidden: [][]byte{[]byte(id)}})
	}
	b.mu.Lock()
	switch {
	case err == nil:
		l.renewed(time.Duration(a.LeaseDuration)*time.Second, a.Renewable)
		a.wipe()
	case gone(err):
		l.Renewable, l.Due = false, time.Now()
	default:
		b.postpone(l)
	}
	b.mu.Unlock()
	if err != nil {
		b.cfg.Log.Warn("renewing a lease", "error", err)
	}
	b.save()
}

// replaceLease gets another answer before the old one is of no use. The old lease is
// not revoked: somebody may still work with it, and it ends by itself.
func (b *Backend) replaceLease(ctx context.Context, request string, l *lease) {
	r, err := parse(request)
	var a *answer
	var s *session
	if err == nil {
		a, s, err = b.ask(ctx, r)
	}
	if err == nil {
		err = b.hold(l, r, a, s)
		a.wipe()
	}
	if err != nil {
		b.mu.Lock()
		b.postpone(l)
		b.mu.Unlock()
		b.cfg.Log.Warn("replacing a lease", "path", r.Path, "error", err)
		return
	}
	b.tell()
}

// postpone tries again later, and notices the end. The caller holds mu.
func (b *Backend) postpone(l *lease) {
	l.later()
	if !l.Expires.IsZero() && l.Due.After(l.Expires) {
		l.Due = l.Expires
	}
}
