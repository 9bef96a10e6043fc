package backend

import (
	"errors"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/secretfs/secretfs/backend/secret"
)

// A Remote is a Backend whose secrets are fetched one by one from elsewhere.
// The Resolver keeps their values: for as long as their Timing says without
// asking again, and the last good ones for when the source cannot be reached.
type Remote interface {
	// Polls says whether values may be asked for again when their time is
	// over although nobody reads them, so that changes are noticed.
	Polls() bool
}

// A cache keeps values in locked memory. Its methods are safe for concurrent
// use.
type cache struct {
	timings Timings
	copier  *copier // or nil

	dirty chan struct{} // there is something to save; never closed

	mu     sync.Mutex // guards what follows
	values map[string]*cached
	absent map[string]*absence
	shut   bool // keeps nothing
}

type cached struct {
	value   *secret.Value
	version Version
	fetched time.Time // when the source last said so
	early   float64   // the part of its TTL after which it is asked for again
	due     bool      // the source is said to have changed
	stale   error     // why asking again did not work
	pause   backoff   // until it is worth trying again for a reader
	poll    backoff   // the same where nobody reads it
	// recalled says that it came from a disk, and may be older than it looks;
	// fleeting is that of Secret.
	recalled, fleeting bool
	copied             time.Time // that of Secret
}

// An absence is a refusal, and until when it is not asked for again.
type absence struct {
	err   error
	pause backoff
}

// maxPoll is the longest pause before a value is asked for again that nobody
// reads. When a server comes back, all that was fetched from it is overdue, on many
// machines: it must not be asked for everything at once.
const maxPoll = 5 * time.Minute

// A backoff is a pause that doubles each time.
type backoff struct {
	length time.Duration
	until  time.Time
}

func (b *backoff) begin() { b.beginUpTo(maxPause) }

func (b *backoff) beginUpTo(limit time.Duration) {
	b.length = min(max(2*b.length, minPause), limit)
	b.until = time.Now().Add(b.length/2 + rand.N(b.length/2))
}

func (b *backoff) over() bool { return !time.Now().Before(b.until) }

func newCache(t Timings) *cache {
	return &cache{
		timings: t, values: map[string]*cached{}, absent: map[string]*absence{}, dirty: make(chan struct{}, 1),
	}
}

// age of what was fetched at that time. A clock that was set back makes nothing
// old.
func age(fetched time.Time) time.Duration { return max(time.Since(fetched), 0) }

// fresh says that it need not be asked for. Each value's time ends somewhat
// early, at a moment of its own, so that machines that started together do not
// ask together.
func (v *cached) fresh(t Timing) bool {
	return !v.due && v.stale == nil && float64(age(v.fetched)) < v.early*float64(t.TTL)
}

func (v *cached) secret() *Secret {
	return &Secret{Value: v.value.Share(), Version: v.version, Stale: v.stale}
}

// get answers from memory, if it may. It returns nothing where it may not. A
// source that has just not answered, or refused, is not asked again at once: a
// service that keeps crashing must not use up a quota.
func (c *cache) get(key string) (*Secret, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	t := c.timings.Of(key)
	if v := c.values[key]; v != nil && (v.fresh(t) || v.stale != nil && !v.pause.over() && age(v.fetched) <= t.MaxStale) {
		return v.secret(), nil
	}
	if a := c.absent[key]; a != nil && !a.pause.over() {
		return nil, a.err
	}
	return nil, nil
}

// settle takes what a fetch came to, keeps it, and gives what to answer.
func (c *cache) settle(key string, s *Secret, err error) (*Secret, error) {
	switch {
	case err == nil:
		c.put(key, s)
		return s, nil
	case unreachable(err):
		if last := c.lastGood(key, err); last != nil {
			return last, nil
		}
		return nil, err
	case isAnswer(err):
		c.refuse(key, err)
	}
	return nil, err
}

// unreachable says that err tells nothing of the secret.
func unreachable(err error) bool { return errors.Is(err, ErrUnavailable) || errors.Is(err, ErrTimeout) }

// isAnswer says that the source has answered, and will answer the same again.
func isAnswer(err error) bool {
	return errors.Is(err, ErrNotFound) || errors.Is(err, ErrRejected) || errors.Is(err, ErrUnsupported) || errors.Is(err, ErrCorrupt)
}

func (c *cache) put(key string, s *Secret) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.absent, key)
	v := c.values[key]
	if c.shut || v != nil && s.Stale != nil {
		return // what lies on a disk is no newer than what is here
	}
	if v == nil || v.version != s.Version {
		c.drop(key)
		v = &cached{value: s.Value.Share(), version: s.Version}
		c.values[key] = v
	}
	v.fetched, v.early, v.due, v.stale, v.pause = time.Now(), 1-rand.Float64()/10, false, s.Stale, backoff{}
	v.poll = backoff{}
	v.recalled, v.copied, v.fleeting = s.Stale != nil, s.copied, s.Fleeting
	switch {
	case v.stale != nil:
		v.pause.begin()
	case !v.fleeting:
		c.copier.note(key, v.version)
	}
	c.touch()
}

// lastGood gives the last value that the source gave, if it is not too old.
func (c *cache) lastGood(key string, why error) *Secret {
	c.mu.Lock()
	defer c.mu.Unlock()
	v := c.values[key]
	if v == nil {
		return nil
	}
	if age(v.fetched) > c.timings.Of(key).MaxStale {
		c.drop(key)
		return nil
	}
	v.stale = why
	if v.recalled {
		v.stale = copyOf(v.copied, why)
	}
	v.pause.begin()
	v.poll.beginUpTo(min(max(c.timings.Of(key).TTL, maxPause), maxPoll))
	return v.secret()
}

// refuse forgets a value that the source has taken back.
func (c *cache) refuse(key string, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.drop(key)
	a := c.absent[key]
	if a == nil {
		a = &absence{}
		c.absent[key] = a
	}
	a.err = err
	a.pause.begin()
	c.copier.forget(key)
}

// drop is called with mu held.
func (c *cache) drop(key string) {
	if v := c.values[key]; v != nil {
		v.value.Destroy()
		delete(c.values, key)
		c.touch()
	}
}

// touch is called with mu held.
func (c *cache) touch() {
	select {
	case c.dirty <- struct{}{}:
	default:
	}
}

// info is what is known of key.
func (c *cache) info(key string) (Info, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	v := c.values[key]
	if v == nil {
		return Info{}, false
	}
	return Info{
		Size: int64(v.value.Len()), Version: v.version, Due: !v.fresh(c.timings.Of(key)), Stale: v.stale,
	}, true
}

// doubt has those keys asked for again.
func (c *cache) doubt(keys []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, key := range keys {
		if v := c.values[key]; v != nil {
			v.due, v.pause, v.poll = true, backoff{}, backoff{}
		}
	}
}

// refusal is what the source said of key when it was last asked, if it has not
// given a value.
func (c *cache) refusal(key string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if a := c.absent[key]; a != nil {
		return a.err
	}
	return nil
}

// invalidate has everything asked for again.
func (c *cache) invalidate() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, v := range c.values {
		v.due, v.pause, v.poll = true, backoff{}, backoff{}
	}
	clear(c.absent)
}

// overdue are the keys whose time is over, of those that can be asked for again.
func (c *cache) overdue() (keys []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for key, v := range c.values {
		switch t := c.timings.Of(key); {
		case age(v.fetched) > max(t.MaxStale, t.TTL):
			c.drop(key)
		case t.TTL > 0 && !v.fresh(t) && v.pause.over() && v.poll.over():
			keys = append(keys, key)
		}
	}
	return keys
}

// close wipes everything, and keeps nothing until open.
func (c *cache) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.shut = true
	for key := range c.values {
		c.drop(key)
	}
	clear(c.absent)
}

func (c *cache) open() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.shut = false
}

// serving says whether any value is served although its source does not answer.
func (c *cache) serving() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, v := range c.values {
		if v.stale != nil {
			return true
		}
	}
	return false
}
