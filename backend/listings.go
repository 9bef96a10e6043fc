package backend

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"time"
)

const (
	// listTimeout is the least that one listing may take: there may be ten
	// thousand entries, and nobody waits that long for it.
	listTimeout = 30 * time.Second
	// minListAge is for how long a listing is good at least.
	minListAge = time.Second
	// maxListing is how many are made at a time. They are not counted among the
	// fetches, which they must not keep waiting.
	maxListing = 4
)

// listings are what a Lister has told of its places. The methods are safe for
// concurrent use.
type listings struct {
	r      *Resolver
	lister Lister
	slots  chan struct{} // one for each listing that is being made
	dirty  chan struct{} // there is something to save
	ctx    context.Context
	cancel context.CancelFunc

	mu     sync.Mutex // guards what follows, and the places
	places map[string]*place
	lastOK bool
	err    error // of the last listing that was made
}

// A place is what is known of one.
type place struct {
	last    *listing      // the last good one, or nil
	due     bool          // the source is said to have changed
	running chan struct{} // closed when the attempt under way is over; nil if none is
	err     error         // of the last attempt
	pause   backoff       // after it
	// recalled says that last is a copy from before a reboot.
	recalled bool
}

func newListings(r *Resolver, lister Lister) *listings {
	l := &listings{
		r: r, lister: lister, slots: make(chan struct{}, maxListing), dirty: make(chan struct{}, 1),
		places: map[string]*place{},
	}
	l.ctx, l.cancel = context.WithCancel(context.Background())
	return l
}

// at tells what is known of a place, and has it looked up where that is too old.
// Until something is known it waits for that, no longer than ctx. running is
// closed when something newer may be known, or nil.
func (l *listings) at(ctx context.Context, where string) (last *listing, running <-chan struct{}, err error) {
	l.mu.Lock()
	p := l.place(where)
	if p.running == nil && p.pause.over() && !l.fresh(p) {
		l.begin(where, p)
	}
	last, running, err = l.usable(p), p.running, p.err
	l.mu.Unlock()
	if last != nil {
		return last, running, nil
	}
	if running == nil {
		return nil, nil, err
	}
	if err := settled(ctx, running); err != nil {
		return nil, nil, fmt.Errorf("listing %q: %w", where, err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if last = l.usable(p); last != nil {
		return last, nil, nil
	}
	return nil, nil, p.err
}

// settled waits for an attempt.
func settled(ctx context.Context, running <-chan struct{}) error {
	select {
	case <-running:
		return nil
	case <-ctx.Done():
	}
	if errors.Is(ctx.Err(), context.Canceled) {
		return ctx.Err()
	}
	return fmt.Errorf("the first listing is under way: %w", ErrTimeout)
}

// place is called with mu held.
func (l *listings) place(where string) *place {
	p := l.places[where]
	if p == nil {
		p = &place{}
		l.places[where] = p
	}
	return p
}

// fresh is called with mu held.
func (l *listings) fresh(p *place) bool {
	return p.last != nil && !p.due && p.err == nil && age(p.last.fetched) < max(l.r.timings.Default.TTL, minListAge)
}

// usable is the last listing, as long as values of its age would be served. It is
// called with mu held.
func (l *listings) usable(p *place) *listing {
	t := l.r.timings.Default
	if p.last == nil || !p.recalled && p.err != nil && age(p.last.fetched) > max(t.MaxStale, t.TTL) {
		return nil
	}
	return p.last
}

// begin has a place looked up. It is called with mu held.
func (l *listings) begin(where string, p *place) {
	running := make(chan struct{})
	p.running = running
	go func() {
		items, err := l.make(where)
		var next *listing
		var version Version
		switch {
		case err == nil:
			next = newListing(items, time.Now())
			version = next.version()
		case l.lost(p):
			next = l.r.copier.recall(where, err)
		}
		changed := l.end(where, p, next, err)
		if err == nil {
			l.r.copier.note(DirKey(where), version)
		}
		close(running)
		if changed {
			l.r.tell()
		}
	}()
}

// make asks the source, unless it is left alone at the moment.
func (l *listings) make(where string) (items []Item, err error) {
	probe, err := l.r.admit()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(l.ctx, max(l.r.timeout, listTimeout))
	made := make(chan answer, 1)
	go func() {
		defer cancel()
		items, err := l.ask(ctx, where)
		made <- answer{items, err}
	}()
	var a answer
	select {
	case a = <-made:
	case <-ctx.Done(): // the driver may hang for ever, its readers do not
		select {
		case a = <-made:
		default:
			a.err = l.late(where)
		}
	}
	l.r.record(probe, a.err)
	return a.items, a.err
}

// An answer is what a Lister has given.
type answer struct {
	items []Item
	err   error
}

// ask keeps a driver's panic to the place that caused it. What the panic says is
// passed on only where it is the runtime's.
func (l *listings) ask(ctx context.Context, where string) (items []Item, err error) {
	select {
	case l.slots <- struct{}{}:
		defer func() { <-l.slots }()
	case <-ctx.Done():
		return nil, l.late(where)
	}
	defer func() {
		if p := recover(); p != nil {
			text := "panic"
			if re, ok := p.(runtime.Error); ok {
				text = re.Error()
			}
			items, err = nil, fmt.Errorf("mistake in the driver while listing %q: %s", where, text)
		}
	}()
	items, err = l.lister.Entries(ctx, where)
	if err != nil && ctx.Err() != nil {
		err = l.late(where)
	}
	return items, err
}

// late is why a listing has ended before there was an answer.
func (l *listings) late(where string) error {
	if l.ctx.Err() != nil {
		return errClosed
	}
	return fmt.Errorf("listing %q: no answer in time: %w", where, ErrTimeout)
}

// lost says that there is no listing to show while the source cannot be asked.
func (l *listings) lost(p *place) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return p.recalled || p.last == nil || age(p.last.fetched) > l.r.timings.Default.MaxStale
}

// end notes what an attempt came to: what lies there now or, with err, what is to
// be shown in its place, if anything. It says whether others than those who wait
// for it have to know.
func (l *listings) end(where string, p *place, next *listing, err error) (changed bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	p.running, p.err = nil, err
	if l.places[where] != p {
		p.err = fmt.Errorf("everything was forgotten meanwhile: %w", ErrLocked)
		return false
	}
	l.err, l.lastOK = err, l.lastOK || err == nil
	old := p.last
	switch {
	case err == nil:
		p.last, p.due, p.pause, p.recalled = next, false, backoff{}, false
		l.r.vanished(next.gone(old))
		l.touch()
		return old != nil && !next.same(old)
	case isAnswer(err): // what the source has taken back is not shown
		p.last, p.recalled = nil, false
		l.r.copier.forget(DirKey(where))
		l.touch()
	case next != nil || p.recalled: // or its copy is too old by now
		p.last, p.recalled = next, next != nil
	}
	p.pause.begin()
	return old != nil && p.last == nil
}

// touch is called with mu held.
func (l *listings) touch() {
	select {
	case l.dirty <- struct{}{}:
	default:
	}
}

// invalidate has all places looked up again when they are next asked for.
func (l *listings) invalidate() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, p := range l.places {
		p.due, p.pause = true, backoff{}
	}
}

// forget drops everything. What is under way is of no use any more.
func (l *listings) forget() {
	l.mu.Lock()
	defer l.mu.Unlock()
	clear(l.places)
	l.err, l.lastOK = nil, false
	l.touch()
}

// failure is why the last listing could not be made; ok says that one could be
// at some time.
func (l *listings) failure() (err error, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.err, l.lastOK
}
