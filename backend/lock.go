package backend

import "context"

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

// Unlock lets requests pass again.
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
