package backend

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"sync"
	"time"
)

// A copier makes copies in the background, and takes them back.
//
// A copy is written when the source has given a version that is not the copy's,
// and again, so that its age is about that of the last answer, when that is older
// than renewal. It is removed as soon as the source says that there is no such
// secret or that it is not for us, when a directory does not list it any more,
// and when the policy does not name it any more.
type copier struct {
	Offline
	r    *Resolver
	log  *slog.Logger
	wake chan struct{} // there is something to do

	mu     sync.Mutex // guards what follows
	todo   map[string]bool
	stored map[string]stored // what is known of copies
	keep   map[string]bool   // keys in the policy, until they have been compared
	said   string            // what was logged last
}

// stored is what is known of one copy without reading it.
type stored struct {
	version Version
	fetched time.Time
	boot    string
}

const (
	// maxRenewal is the longest renewal.
	maxRenewal = 24 * time.Hour
	// maxCopy is how long a value may be that is copied, in bytes: all copies may
	// lie in a small /var. There are few listings.
	maxCopy, maxListingCopy = 1 << 20, 16 << 20
)

func newCopier(r *Resolver, o Offline, log *slog.Logger) *copier {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &copier{
		Offline: o, r: r, log: log, wake: make(chan struct{}, 1), todo: map[string]bool{}, stored: map[string]stored{},
	}
}

// renewal is how old a copy gets of what has not changed.
func (c *copier) renewal(key string) time.Duration {
	d := maxRenewal
	if c.MaxAge > 0 {
		d = min(d, c.MaxAge/30)
	}
	if stale := c.r.timings.Of(key).MaxStale; stale > 0 {
		d = min(d, stale/4)
	}
	return d
}

// Actions of todo.
const write, remove = true, false

// note is called when the source has answered, with the lock of whoever keeps the
// answer.
func (c *copier) note(key string, v Version) {
	if c == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if s, ok := c.stored[key]; ok && c.good(key, s, v) {
		delete(c.todo, key)
		return
	}
	c.add(key, write)
}

// good says that a copy need not be written again.
func (c *copier) good(key string, s stored, v Version) bool {
	return s.version == v && s.boot == c.Boot && age(s.fetched) < c.renewal(key)
}

// forget is called when the source has taken keys back.
func (c *copier) forget(keys ...string) {
	if c == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, key := range keys {
		c.add(key, remove)
	}
}

// add is called with mu held.
func (c *copier) add(key string, action bool) {
	c.todo[key] = action
	c.poke()
}

func (c *copier) poke() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// run does what there is to do until ctx ends.
func (c *copier) run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-c.wake:
		}
		for ctx.Err() == nil {
			key, action, ok := c.next()
			if !ok {
				break
			}
			switch action {
			case remove:
				c.remove(key)
			case write:
				c.write(ctx, key)
			}
		}
		c.retain(ctx)
	}
}

func (c *copier) next() (key string, action, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for key, action := range c.todo {
		delete(c.todo, key)
		return key, action, true
	}
	return "", false, false
}

func (c *copier) remove(key string) {
	if err := c.Copies.Remove(key); err != nil {
		c.say("removing an offline copy", err)
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.stored, key)
}

// write makes a copy of what is in memory, unless there is one as good.
func (c *copier) write(ctx context.Context, key string) {
	now, ok := c.r.present(key)
	if !ok {
		return
	}
	defer now.Value.Destroy()
	limit := maxCopy
	if _, _, ok := splitDirKey(key); ok {
		limit = maxListingCopy
	}
	if now.Value.Len() > limit {
		c.log.Debug("keeping no offline copy", "key", KeyText(key), "bytes", now.Value.Len(), "limit", limit)
		return
	}
	now.Boot = c.Boot
	if c.asGood(ctx, key, now.Version) {
		return
	}
	if err := c.Copies.Save(now); err != nil {
		c.say("keeping an offline copy", err)
		return
	}
	c.know(now)
}

// asGood says that there is a copy which need not be written again: an earlier
// process may have made it, or this one while the source was answering once more.
func (c *copier) asGood(ctx context.Context, key string, v Version) bool {
	c.mu.Lock()
	s, known := c.stored[key]
	c.mu.Unlock()
	if known {
		return c.good(key, s, v)
	}
	old, err := c.Copies.Load(ctx, key)
	if err != nil {
		return false
	}
	defer old.Value.Destroy()
	c.know(old)
	return c.good(key, stored{old.Version, old.Fetched, old.Boot}, v)
}

func (c *copier) know(o Copy) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stored[o.Key] = stored{o.Version, o.Fetched, o.Boot}
}

// load gives the copy of key, because of why, if it may be served.
func (c *copier) load(key string, why error) *Secret {
	// Whoever waits may have no time left, and this needs little.
	ctx, cancel := context.WithTimeout(context.Background(), c.r.timeout)
	defer cancel()
	o, err := c.Copies.Load(ctx, key)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		c.say("ignoring an offline copy", err)
		return nil
	}
	c.know(o)
	if !c.usable(o) {
		o.Value.Destroy()
		return nil
	}
	return &Secret{Value: o.Value, Version: o.Version, Stale: copyOf(o.Fetched, why), copied: o.Fetched}
}

// copyOf says what is served in place of the newest, and why.
func copyOf(fetched time.Time, why error) error {
	if fetched.IsZero() {
		return why // a copy of the driver's own
	}
	return fmt.Errorf("%w (served from the offline copy of %s)", why, fetched.UTC().Format(time.RFC3339))
}

// usable says whether a copy is young enough. Within one run of the kernel the
// server was lost while running, for which MaxStale is the limit. A clock that is
// behind makes nothing old: a machine may have none before the network is up.
func (c *copier) usable(o Copy) bool {
	if c.Boot != "" && o.Boot == c.Boot {
		return age(o.Fetched) <= c.r.timings.Of(o.Key).MaxStale
	}
	return c.MaxAge == 0 || age(o.Fetched) <= c.MaxAge
}

// say logs what is wrong, once in a row.
func (c *copier) say(doing string, err error) {
	text := doing + err.Error()
	c.mu.Lock()
	again := c.said == text
	c.said = text
	c.mu.Unlock()
	if !again {
		c.log.Warn(doing, "error", err)
	}
}
