package backend

import (
	"context"
	"errors"
	"io/fs"
)

// Retain says which keys the policy names, those of directories too: copies of
// other secrets are removed, in the background.
func (r *Resolver) Retain(keys []string) {
	c := r.copier
	if c == nil {
		return
	}
	keep := make(map[string]bool, len(keys))
	for _, key := range keys {
		keep[key] = true
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.keep = keep
	c.poke()
}

func (c *copier) retain(ctx context.Context) {
	c.mu.Lock()
	keep := c.keep
	c.keep = nil
	c.mu.Unlock()
	if keep == nil {
		return
	}
	if err := c.addListed(ctx, keep); err != nil {
		c.say("looking for offline copies that nobody needs", err)
		return
	}
	if err := c.Copies.Retain(keep); err != nil {
		c.say("removing offline copies that nobody needs", err)
	}
}

// addListed adds what the directories among the keys hold, as far as it was ever
// told.
func (c *copier) addListed(ctx context.Context, keep map[string]bool) error {
	var places []string
	for key := range keep {
		if where, _, ok := splitDirKey(key); ok {
			places = append(places, where)
		}
	}
	seen := map[string]bool{}
	for len(places) > 0 {
		where := places[0]
		places = places[1:]
		if seen[where] {
			continue
		}
		seen[where] = true
		keep[DirKey(where)] = true
		items, err := c.listed(ctx, where)
		if err != nil {
			return err
		}
		for _, it := range items {
			if it.Dir {
				places = append(places, it.Key)
			} else {
				keep[it.Key] = true
			}
		}
	}
	return nil
}

// listed is what a place holds, by the copy and by what is in memory.
func (c *copier) listed(ctx context.Context, where string) (items []Item, err error) {
	o, err := c.Copies.Load(ctx, DirKey(where))
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return nil, err
	default:
		c.know(o)
		items, err = unpackItems(o.Value)
		o.Value.Destroy()
		if err != nil {
			return nil, err
		}
	}
	if l := c.r.listings; l != nil {
		items = append(items, l.current(where)...)
	}
	return items, nil
}

// present is what is in memory under key, to be copied: a value, or what lies at a
// place.
func (r *Resolver) present(key string) (Copy, bool) {
	if where, _, ok := r.listed(key); ok {
		return r.listings.copy(where)
	}
	return r.cache.copy(key)
}

// copy shares a value that the source has given and that may be kept.
func (c *cache) copy(key string) (Copy, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	v := c.values[key]
	if v == nil || v.stale != nil || v.fleeting {
		return Copy{}, false
	}
	return Copy{Key: key, Version: v.version, Fetched: v.fetched, Value: v.value.Share()}, true
}
