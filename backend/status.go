package backend

import (
	"errors"
	"fmt"
	"time"
)

// A Status is how a backend is doing, for people.
type Status struct {
	Name  string
	State State
	// Err explains a State other than Ready and Unread.
	Err error
	// LastSuccess is when a fetch last gave a secret; zero if none has.
	LastSuccess time.Time
}

// Status tells how the backend is doing: what it says itself if it is a
// Reporter, unless it does not answer; otherwise what the last fetch said.
func (r *Resolver) Status() Status {
	st := r.observed()
	if err := r.open(); err != nil {
		st.State, st.Err = Locked, err
		return st
	}
	st.addListing(r.listings)
	if rp, ok := r.backend.(Reporter); ok && st.State != Failed {
		st.State, st.Err = rp.State()
	}
	if st.State == Failed && r.cache != nil && r.cache.serving() {
		st.State = Stale
	}
	return st
}

// addListing adds how the last listing went, where fetches say nothing bad.
func (st *Status) addListing(l *listings) {
	if l == nil || st.State != Ready && st.State != Unread {
		return
	}
	switch err, listed := l.failure(); {
	case err != nil:
		st.State, st.Err = judge(err)
	case listed:
		st.State = Ready
	}
}

// observed is the state as the fetches show it.
func (r *Resolver) observed() Status {
	r.mu.Lock()
	defer r.mu.Unlock()
	st := Status{Name: r.name, State: Ready, LastSuccess: r.lastOK}
	switch {
	case r.breaker.tripped():
		st.State, st.Err = Failed, r.breaker.last
		if pause := time.Until(r.breaker.until); pause > 0 {
			st.Err = fmt.Errorf("%w (not asked again for %s)", r.breaker.last, ceilSecond(pause))
		}
	case !r.asked:
		st.State = Unread
	default:
		st.State, st.Err = judge(r.lastErr)
	}
	return st
}

// judge says what the error of one secret means for the whole backend.
func judge(err error) (State, error) {
	switch {
	case err == nil, IsAlone(err), errors.Is(err, ErrNotFound), errors.Is(err, ErrUnsupported):
		return Ready, nil
	}
	return StateOf(err), err
}

// StateOf is the State of what cannot be fetched because of err.
func StateOf(err error) State {
	if errors.Is(err, ErrLocked) || errors.Is(err, ErrRejected) || errors.Is(err, ErrExpired) {
		return Locked
	}
	return Failed
}
