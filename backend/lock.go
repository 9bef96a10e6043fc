package backend

import (
	"context"
	"errors"
)

// Lock forgets everything that opens the backend and every value of it. Until
// Unlock all requests are answered with ErrLocked.
func (r *Resolver) Lock(ctx context.Context) error {
	r.mu.Lock()
	r.locked = true
	clear(r.known)
	r.mu.Unlock()
	if r.cache != nil {
		r.cache.close()
	}
	if r.listings != nil {
		r.listings.forget()
	}
	if l, ok := r.backend.(Locker); ok {
		return r.named(l.Lock(ctx))
	}
	return nil
}

// Unlock lets requests pass again. What was found wrong before is tried anew.
func (r *Resolver) Unlock() {
	r.mu.Lock()
	r.locked = false
	r.mu.Unlock()
	if r.cache != nil {
		r.cache.open()
	}
	r.forgive()
	r.invalidate()
}

// Try has the backend open itself, as far as it can without fetching a secret:
// what `secretfs unlock` wants to know. known is false where it cannot tell,
// because it is no Unlocker or needs a secret for that.
func (r *Resolver) Try(ctx context.Context) (known bool, err error) {
	if err := r.open(); err != nil {
		return true, r.named(err)
	}
	u, ok := r.backend.(Unlocker)
	if !ok {
		return false, nil
	}
	err = u.Unlock(ctx)
	return !errors.Is(err, ErrUnsupported), r.named(err)
}

// Revoke has the backend give back what it was given, if it is a Revoker.
func (r *Resolver) Revoke(ctx context.Context) error {
	if rv, ok := r.backend.(Revoker); ok {
		return r.named(rv.Revoke(ctx))
	}
	return nil
}
