package backend

import (
	"context"
	"errors"
	"time"
)

// awaitPause is between two attempts of Await.
const awaitPause = 250 * time.Millisecond

// Await is Get for a reader who would rather wait than be told that the backend
// cannot be reached or is locked: for at most wait, and no longer than ctx.
func (r *Resolver) Await(ctx context.Context, key string, wait time.Duration) (*Secret, error) {
	s, err := r.Get(ctx, key)
	if wait <= 0 || !passing(err) {
		return s, err
	}
	end := time.After(wait)
	for passing(err) {
		select {
		case <-end:
			return nil, err
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(awaitPause):
		}
		s, err = r.Get(ctx, key)
	}
	return s, err
}

// passing says that err can be over soon.
func passing(err error) bool {
	return errors.Is(err, ErrUnavailable) || errors.Is(err, ErrTimeout) || errors.Is(err, ErrLocked)
}
