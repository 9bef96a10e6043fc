package backend

import (
	"context"
	"sync"
	"time"
)

const (
	// saveDelay is how long changes are collected before they are kept for
	// the next process.
	saveDelay = 500 * time.Millisecond
	// pollEvery is how often it is looked whether a value's time is over.
	pollEvery = time.Second
)

// A keeper does what a cache needs done in the background.
type keeper struct {
	cancel context.CancelFunc
	done   sync.WaitGroup
}

// keep saves values and listings after each change and, with poll set, asks for
// those values again whose time is over.
func (r *Resolver) keep(o Options, poll bool) *keeper {
	ctx, cancel := context.WithCancel(context.Background())
	k := &keeper{cancel: cancel}
	if save := o.Slot.Save; save != nil {
		k.done.Go(func() { saveChanges(ctx, r.cache.dirty, r.cache.state, save) })
	}
	if save := o.Listings.Save; save != nil && r.listings != nil {
		k.done.Go(func() { saveChanges(ctx, r.listings.dirty, r.listings.state, save) })
	}
	if r.copier != nil {
		k.done.Go(func() { r.copier.run(ctx) })
	}
	if poll {
		k.done.Go(func() { r.poll(ctx) })
	}
	return k
}

func (k *keeper) stop() {
	k.cancel()
	k.done.Wait()
}

// saveChanges saves a state some time after it has changed.
func saveChanges(ctx context.Context, dirty <-chan struct{}, state func() (Legacy, error), save func(Legacy)) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-dirty:
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(saveDelay):
		}
		if l, err := state(); err == nil { // else the next process asks again
			save(l)
		}
	}
}

// poll asks again for what is overdue, so that changes are noticed.
func (r *Resolver) poll(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(pollEvery):
		}
		if r.open() != nil {
			continue
		}
		for _, key := range r.cache.overdue() {
			if r.again(ctx, key) {
				r.tell()
			}
		}
	}
}

// again says whether there is something new about key.
func (r *Resolver) again(ctx context.Context, key string) bool {
	before, _ := r.cache.info(key)
	s, err := r.remembered(ctx, key)
	if err != nil {
		return ctx.Err() == nil
	}
	defer s.Value.Destroy()
	return s.Version != before.Version || (s.Stale == nil) != (before.Stale == nil)
}
