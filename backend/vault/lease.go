package vault

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/secretfs/secretfs/backend"
	"github.com/secretfs/secretfs/backend/secret"
)

// minHold is for how long an answer is held of which nothing says how long it is
// good. 0 would give each file of it an answer of its own.
const minHold = time.Minute

// A lease is one answer that is held for all files of it. Its fields but turn are
// guarded by Backend.mu.
type lease struct {
	turn chan struct{} // held by whoever asks for it

	id      string        // "" where the server gave no lease
	data    *secret.Value // the fields, as JSON; nil where there are none yet
	version backend.Version
	session string // the accessor of the token that it was given to
	span

	refused pause // asking for another one once it has ended
}

// usable says that the fields are still good. The caller holds mu.
func (l *lease) usable() bool { return l.data.Bytes() != nil && !l.over() }

func newLease() *lease { return &lease{turn: make(chan struct{}, 1)} }

// leased reads what is, or may be, given once for several files.
func (b *Backend) leased(ctx context.Context, r reference) (*backend.Secret, error) {
	for {
		l, err := b.leaseOf(r.request())
		if err != nil {
			return nil, err
		}
		if s, err := b.held(l, r); s != nil || err != nil {
			return s, err
		}
		select {
		case l.turn <- struct{}{}:
		case <-ctx.Done():
			return nil, ended(ctx)
		}
		if b.isOurs(l, r.request()) {
			defer func() { <-l.turn }()
			if s, err := b.held(l, r); s != nil || err != nil { // somebody else was quicker
				return s, err
			}
			return b.issueFor(ctx, l, r)
		}
		<-l.turn // whoever had it found that it is of no use
	}
}

func (b *Backend) leaseOf(request string) (*lease, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return nil, errClosed
	}
	l := b.leases[request]
	if l == nil {
		l = newLease()
		b.leases[request] = l
	}
	return l, nil
}

func (b *Backend) isOurs(l *lease, request string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.leases[request] == l
}

// held answers from memory, where that is still good.
func (b *Backend) held(l *lease, r reference) (*backend.Secret, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !l.usable() {
		return nil, nil
	}
	return fieldsOf(l.data.Bytes(), l.version, r)
}

func fieldsOf(data []byte, version backend.Version, r reference) (*backend.Secret, error) {
	fields := object{}
	defer fields.wipe()
	if json.Unmarshal(data, &fields) != nil {
		return nil, fmt.Errorf("the answer holds no map of fields: %w", backend.ErrCorrupt)
	}
	v, err := pick(fields, r)
	if err != nil {
		return nil, err
	}
	return &backend.Secret{Value: v, Version: version, Fleeting: true}, nil
}

// issueFor gets an answer and takes what r wants of it. The caller has the turn.
func (b *Backend) issueFor(ctx context.Context, l *lease, r reference) (*backend.Secret, error) {
	b.mu.Lock()
	err := l.refused.still()
	b.mu.Unlock()
	if err != nil {
		return nil, err
	}
	a, s, err := b.ask(ctx, r)
	if err != nil {
		return nil, b.noLease(l, r, err)
	}
	defer a.wipe()
	if a.LeaseID == "" && r.Data == "" { // a plain read
		b.dropLease(r.request(), l)
		return b.plain(a, r)
	}
	if err := b.hold(l, r, a, s); err != nil {
		return nil, err
	}
	return b.held(l, r)
}

// ask makes the request of r: where there is data, it is written.
func (b *Backend) ask(ctx context.Context, r reference) (*answer, *session, error) {
	req := request{method: http.MethodGet, path: r.Path}
	if r.Data != "" {
		req.method, req.body = http.MethodPost, []byte(r.Data)
	}
	return b.call(ctx, req)
}

// noLease is the error where nothing is issued, perhaps in the place of a lease
// that has ended.
func (b *Backend) noLease(l *lease, r reference, err error) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if l.data == nil {
		delete(b.leases, r.request())
		return err
	}
	err = fmt.Errorf("the lease ran out at %s, and there is no other: %v: %w", l.Expires.UTC().Format(time.RFC3339), err, backend.ErrExpired)
	l.refused.begin(err, time.Second, 30*time.Second) // else each read would wait for a server that is down
	return err
}

func (b *Backend) dropLease(request string, l *lease) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.leases[request] == l {
		delete(b.leases, request)
	}
}

// hold keeps an answer for all files of it, and for the next process.
func (b *Backend) hold(l *lease, r reference, a *answer, s *session) error {
	fields, err := a.fields()
	if err != nil {
		return backend.Alone(err)
	}
	length := b.lengthOf(a, fields, r)
	fields.wipe()
	data, err := copyOf(a.Data)
	if err != nil {
		return err
	}
	version := b.digest(r.request(), a.LeaseID, data.Bytes())
	b.mu.Lock()
	if b.closed || s.token.Bytes() == nil && b.current != s {
		b.mu.Unlock()
		data.Destroy()
		return fmt.Errorf("the token ended meanwhile: %w", backend.ErrUnavailable)
	}
	l.data.Destroy()
	l.data, l.id, l.version, l.session = data, a.LeaseID, version, s.accessor
	l.refused = pause{}
	l.begin(length, a.Renewable && a.LeaseID != "")
	b.mu.Unlock()
	b.wake()
	b.save()
	return nil
}

// lengthOf says for how long an answer is good: as long as its lease, or the
// certificate that it holds, or, where nothing tells, for the TTL of its secrets.
func (b *Backend) lengthOf(a *answer, fields object, r reference) time.Duration {
	if a.LeaseID != "" || a.LeaseDuration > 0 {
		return time.Duration(a.LeaseDuration) * time.Second
	}
	var end int64 // seconds since 1970 (api-docs, pki, "Generate certificate and key")
	if json.Unmarshal(fields["expiration"], &end) == nil {
		if left := time.Until(time.Unix(end, 0)); left > 0 {
			return left
		}
	}
	return max(b.cfg.Timings.Of(r.String()).TTL, minHold)
}

// orphan notes that the token of s is at its end, and what was given to it too: the
// server revokes all of that together. The caller holds mu.
func (b *Backend) orphan(s *session) {
	for _, l := range b.leases {
		if l.data == nil || l.id == "" || l.session != s.accessor {
			continue
		}
		l.Renewable = false
		l.Due = time.Now()
		if !s.Expires.IsZero() && (l.Expires.IsZero() || s.Expires.Before(l.Expires)) {
			l.Expires = s.Expires
		}
	}
}

// gone says that the server knows nothing of a lease or a token.
func gone(err error) bool {
	code := statusOf(err)
	return code == 400 || code == 403 || code == 404 || errors.Is(err, backend.ErrRejected)
}
