package policy

import (
	"context"
	"errors"
	"sync"
	"time"
)

// Run keeps the names resolved until ctx ends: it looks whether the files have
// changed, and asks Lookup for what is not in them. A name that Lookup found is
// asked for again each Recheck, because the id of a dynamic user is given to
// another one after its unit has stopped; when the service knows it no longer,
// it is unresolved at once, and when the service only fails, the id stays.
func (n *Names) Run(ctx context.Context) {
	for ctx.Err() == nil {
		n.recheckFiles()
		due, wait := n.due(time.Now())
		if len(due) > 0 {
			n.ask(ctx, due)
			continue
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
		case <-timer.C:
		case <-n.wake:
			n.hurry(time.Now())
		}
		timer.Stop()
	}
}

// due returns the names to ask for now, or how long there are none.
func (n *Names) due(now time.Time) (due []nameKey, wait time.Duration) {
	n.mu.Lock()
	defer n.mu.Unlock()
	wait = n.cfg.Recheck
	for key, e := range n.entries {
		switch left := e.due.Sub(now); {
		case e.fromFile || n.cfg.Lookup == nil:
		case left <= 0:
			due = append(due, key)
		default:
			wait = min(wait, left)
		}
	}
	return due, wait
}

// hurry brings the next attempt for unresolved names forward.
func (n *Names) hurry(now time.Time) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, e := range n.entries {
		if soonest := e.due.Add(n.cfg.FirstRetry - e.delay); !e.ok && e.delay > n.cfg.FirstRetry {
			e.due, e.delay = soonest, n.cfg.FirstRetry
		}
	}
}

// ask looks the names up, a few at a time, and publishes each answer as it
// comes: one that hangs must not keep the others.
func (n *Names) ask(ctx context.Context, due []nameKey) {
	slots := make(chan struct{}, lookupsAtOnce)
	var wg sync.WaitGroup
	for _, key := range due {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			ctx, cancel := context.WithTimeout(ctx, lookupTimeout)
			defer cancel()
			id, err := n.cfg.Lookup(ctx, key.db, key.name)
			n.answer(key, id, err)
		})
	}
	wg.Wait()
}

func (n *Names) answer(key nameKey, id uint32, err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	e := n.entries[key]
	if e == nil || e.fromFile {
		return // a Use or a change of the files has overtaken the answer
	}
	e.asked = true
	switch {
	case err == nil:
		e.id, e.ok, e.err, e.delay = id, true, nil, n.cfg.Recheck
	case e.ok && !errors.Is(err, ErrNoSuchName):
		e.delay = n.cfg.Recheck
	default:
		e.ok, e.err = false, err
		e.delay = min(max(2*e.delay, n.cfg.FirstRetry), n.cfg.MaxRetry)
	}
	e.due = time.Now().Add(e.delay)
	n.publish()
}

// publish makes what is known what handlers see. n.mu is held.
func (n *Names) publish() {
	next := &idSnapshot{users: map[string]uint32{}, groups: map[string]uint32{}}
	for key, e := range n.entries {
		switch {
		case !e.ok:
		case key.db == Users:
			next.users[key.name] = e.id
		default:
			next.groups[key.name] = e.id
		}
	}
	old := n.ids.Swap(next)
	if n.cfg.Changed != nil && !old.same(next) {
		n.cfg.Changed()
	}
	close(n.answered)
	n.answered = make(chan struct{})
}
