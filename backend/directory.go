package backend

import (
	"context"
	"fmt"
	"strings"
)

// statBelow is Stat for what a Lister lists.
func (r *Resolver) statBelow(ctx context.Context, where, path string) (Info, error) {
	it, err := r.below(ctx, where, path)
	if err != nil {
		return Info{}, err
	}
	if it.Dir {
		return Info{Size: SizeUnknown, Dir: true}, nil
	}
	return r.stat(ctx, it.Key)
}

// below finds what path, made of files' names, leads to from a place of a Lister.
func (r *Resolver) below(ctx context.Context, where, path string) (Item, error) {
	if err := r.open(); err != nil {
		return Item{}, err
	}
	it := Item{Key: where, Dir: true} // that it is there says the policy
	for name := range strings.SplitSeq(path, "/") {
		if path == "" {
			break
		}
		var err error
		if it, err = r.listings.find(ctx, it, name); err != nil {
			return Item{}, err
		}
	}
	return it, nil
}

// find is the item whose file has that name. Where there is none, and the place
// is being looked up anew, it waits for that, no longer than ctx.
func (l *listings) find(ctx context.Context, dir Item, name string) (Item, error) {
	if !dir.Dir {
		return Item{}, fmt.Errorf("%q is one secret, with nothing below: %w", dir.Name, ErrNotFound)
	}
	last, running, err := l.at(ctx, dir.Key)
	if err != nil {
		return Item{}, err
	}
	it, ok := last.items[name]
	if !ok && running != nil {
		if err := settled(ctx, running); err == nil {
			if last, _, err = l.at(ctx, dir.Key); err != nil {
				return Item{}, err
			}
			it, ok = last.items[name]
		}
	}
	if !ok {
		return Item{}, fmt.Errorf("nothing is called %q there: %w", name, ErrNotFound)
	}
	return it, nil
}

// listBelow is List for what a Lister lists. Where that is too old it waits for
// something newer, no longer than ctx.
func (r *Resolver) listBelow(ctx context.Context, where, path string) ([]Entry, error) {
	it, err := r.below(ctx, where, path)
	if err != nil {
		return nil, err
	}
	if !it.Dir {
		return nil, fmt.Errorf("%q is one secret, with nothing below: %w", it.Name, ErrNotFound)
	}
	last, running, err := r.listings.at(ctx, it.Key)
	if err != nil {
		return nil, err
	}
	if running != nil && settled(ctx, running) == nil {
		if last, _, err = r.listings.at(ctx, it.Key); err != nil {
			return nil, err
		}
	}
	return last.entries, nil
}

// listed says whether key is of the kind that a Lister lists.
func (r *Resolver) listed(key string) (where, path string, ok bool) {
	if r.listings == nil {
		return "", "", false
	}
	return splitDirKey(key)
}

// vanished takes note of keys that a place does not list any more: they may have
// moved, or be gone.
func (r *Resolver) vanished(keys []string) {
	if len(keys) > 0 && r.cache != nil {
		r.cache.doubt(keys)
		r.copier.forget(keys...)
	}
}
