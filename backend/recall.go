package backend

import (
	"context"
	"errors"
	"fmt"
)

// remembered answers from the cache, where there is one and it may.
func (r *Resolver) remembered(ctx context.Context, key string) (*Secret, error) {
	if r.cache == nil {
		return r.fetch(ctx, key)
	}
	if s, err := r.cache.get(key); s != nil || err != nil {
		return s, err
	}
	s, err := r.fetch(ctx, key)
	if s, err = r.cache.settle(key, s, err); err != nil {
		if last := r.recall(key, err); last != nil {
			return last, nil
		}
	}
	return s, err
}

// recall gives the last value of a source that cannot be reached, or not in the
// time of a caller who has little, as PID 1: what is in memory, or else its copy.
func (r *Resolver) recall(key string, err error) *Secret {
	switch {
	case r.copier == nil:
		return nil
	case errors.Is(err, context.DeadlineExceeded):
		err = fmt.Errorf("no answer for %q in the caller's time: %w", key, ErrTimeout)
		if last := r.cache.lastGood(key, err); last != nil {
			return last
		}
	case !unreachable(err):
		return nil
	}
	s := r.copier.load(key, err)
	if s == nil {
		return nil
	}
	r.cache.put(key, s)
	if now, _ := r.cache.get(key); now != nil { // which may be newer, by another reader
		s.Value.Destroy()
		return now
	}
	return s
}
