package bws

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/secretfs/secretfs/backend"
	"github.com/secretfs/secretfs/backend/httpc"
)

const (
	// overlap is taken off the server's time of one question for the next, as is
	// the time that the answer took: the clocks of a cluster need not agree to the
	// second.
	overlap = 5 * time.Second
	// wholeEvery is how often everything is fetched though nothing is said to
	// have changed: the net under a server that overlooks a change.
	wholeEvery = 24 * time.Hour
)

// errUnauthorized: the session is over, though it was not its time.
var errUnauthorized = errors.New("the session is not accepted any more")

// A wireSecret is a secret as the server has it; texts are encrypted strings.
type wireSecret struct {
	ID       string
	Key      string
	Value    string
	Note     string
	Revision string `json:"revisionDate"`
	Projects []wireProject
}

type wireProject struct{ ID, Name string }

// An answer is what a sync says.
type answer struct {
	changed bool
	secrets []wireSecret // all of them, if changed
	date    time.Time    // by the server's clock; everything before is in it; zero if it does not say
}

// ask asks for everything, or, with a time of the server's clock, for everything
// if something has changed since.
func (b *Backend) ask(ctx context.Context, s *session, since time.Time) (a answer, err error) {
	at := b.settings.API + "/organizations/" + s.org + "/secrets/sync"
	if !since.IsZero() {
		at += "?lastSyncedDate=" + url.QueryEscape(since.UTC().Format(time.RFC3339))
	}
	began := time.Now()
	reply, err := b.api.Do(ctx, httpc.Request{Method: http.MethodGet, URL: at, Header: http.Header{
		"Authorization": {"Bearer " + string(s.jwt.Bytes())}, "Accept": {"application/json"}, "Device-Type": {deviceType},
	}})
	if err != nil {
		return a, err
	}
	switch {
	case reply.Status == http.StatusUnauthorized:
		return a, reply.Errorf("%w", errUnauthorized)
	case reply.Status == http.StatusBadRequest && !since.IsZero():
		return b.ask(ctx, s, time.Time{}) // its clock was set back
	case reply.Status == http.StatusNotFound || reply.Status == http.StatusForbidden:
		return a, reply.Errorf("the machine account may not read this organisation's secrets (status %d): %w", reply.Status, backend.ErrRejected)
	case !reply.OK():
		return a, reply.Failure()
	}
	a, err = readAnswer(reply)
	if !a.date.IsZero() {
		a.date = a.date.Add(-overlap - time.Since(began))
	}
	return a, err
}

func readAnswer(reply *httpc.Reply) (a answer, err error) {
	var wire struct {
		HasChanges *bool
		Secrets    *struct{ Data []wireSecret }
	}
	if json.Unmarshal(reply.Body, &wire) != nil || wire.HasChanges == nil || *wire.HasChanges && wire.Secrets == nil {
		return a, reply.Garbage()
	}
	if date, ok := reply.Date(); ok {
		a.date = date
	}
	if a.changed = *wire.HasChanges; a.changed {
		a.secrets = wire.Secrets.Data
	}
	return a, nil
}

// look finds out whether anything has changed, logging in where needed.
func (b *Backend) look(ctx context.Context) error {
	s, err := b.loggedIn(ctx)
	if err != nil {
		return err
	}
	defer func() { s.destroy() }()
	a, err := b.ask(ctx, s, b.since(s))
	if errors.Is(err, errUnauthorized) {
		var next *session
		if next, err = b.login(ctx); err != nil {
			return err
		}
		s.destroy()
		s = next
		if a, err = b.ask(ctx, s, b.since(s)); errors.Is(err, errUnauthorized) {
			return fmt.Errorf("%w, nor is a new one: %w", err, backend.ErrRejected)
		}
	}
	if err != nil {
		return err
	}
	return b.take(s, a)
}

// since is the time for the next question; zero asks for everything.
func (b *Backend) since(s *session) time.Time {
	b.mu.RLock()
	defer b.mu.RUnlock()
	if v := b.vault; v == nil || v.account != s.account || !v.key.Encoded().Equal(s.key.Encoded()) {
		return time.Time{}
	}
	if b.date.IsZero() || age(b.whole) > wholeEvery {
		return time.Time{}
	}
	return b.date
}

// take puts an answer in force.
func (b *Backend) take(s *session, a answer) error {
	b.mu.RLock()
	old, epoch := b.vault, b.epoch
	next := old
	if a.changed {
		if next = newVault(s, a.secrets, old); next.identical(old) {
			next.destroy() // a change that was known
			next = old
		}
	}
	b.mu.RUnlock()
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.epoch != epoch: // it was locked, or closed, meanwhile
		if next != old {
			next.destroy()
		}
		return fmt.Errorf("forgotten while it was being fetched: %w", backend.ErrLocked)
	case next == nil: // it was asked for everything
		return fmt.Errorf("the server says that nothing has changed, and there is nothing yet: %w", backend.ErrUnavailable)
	case next != old:
		b.vault = next
		old.destroy()
	}
	if a.changed {
		b.whole = time.Now()
	}
	b.news = b.news || !next.same(old)
	b.date, b.answer, b.checked, b.offline = a.date, b.asked, time.Now(), false
	b.early = earliness()
	b.touch()
	return nil
}
