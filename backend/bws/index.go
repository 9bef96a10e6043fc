package bws

import (
	"context"
	"fmt"

	"github.com/secretfs/secretfs/backend"
)

// Stat tells length and version from what is known, and asks nothing, except
// that it waits for the first answer where key is a path of the tree.
func (b *Backend) Stat(ctx context.Context, key string) (backend.Info, error) {
	if _, isRef := parseRef(key); !isRef {
		if err := b.known(ctx); err != nil {
			return backend.Info{}, err
		}
	}
	b.mu.RLock()
	defer b.mu.RUnlock()
	if b.vault == nil {
		return backend.Info{Size: backend.SizeUnknown, Err: b.failure}, nil
	}
	if _, dir := b.vault.at(key); dir {
		return backend.Info{Size: backend.SizeUnknown, Dir: true}, nil
	}
	due := b.failure != nil || b.offline || age(b.checked) >= b.env.Timings.Of(key).TTL
	it, field, err := b.vault.lookup(key)
	switch {
	case err != nil && due:
		return backend.Info{Size: backend.SizeUnknown, Err: err}, nil
	case err != nil:
		return backend.Info{}, err
	}
	sealed, version, _ := it.field(field)
	info := backend.Info{Size: backend.SizeUnknown, Version: version, Due: due}
	if due && b.failure != nil {
		info.Stale = b.failure
	}
	if v, err := b.vault.open(sealed); err == nil {
		info.Size = int64(v.Len())
		v.Destroy()
	}
	return info, nil
}

// List names the projects, or the secrets of one.
func (b *Backend) List(ctx context.Context, key string) ([]backend.Entry, error) {
	if err := b.known(ctx); err != nil {
		return nil, err
	}
	b.mu.RLock()
	defer b.mu.RUnlock()
	if b.vault == nil {
		return nil, errClosed
	}
	if _, dir := b.vault.at(key); !dir {
		return nil, fmt.Errorf("there is no project %q that the machine account may read: %w", key, backend.ErrNotFound)
	}
	return b.vault.list(key), nil
}

// known waits for the first answer. What came with it may be old: whoever reads
// a secret has that looked after.
func (b *Backend) known(ctx context.Context) error {
	b.mu.RLock()
	have := b.vault != nil
	b.mu.RUnlock()
	if have {
		b.begin()
		return nil
	}
	err := b.fresh(ctx, "", never)
	if err == nil {
		return nil
	}
	b.mu.RLock()
	defer b.mu.RUnlock()
	if b.standsIn("", err) {
		return nil
	}
	return err
}
