package bitwarden

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/secretfs/secretfs/backend"
	"github.com/secretfs/secretfs/backend/bitwarden/vault"
	"github.com/secretfs/secretfs/backend/secret"
)

// Get opens the field that key names.
func (b *Backend) Get(ctx context.Context, key string) (*backend.Secret, error) {
	stale, err := b.current(ctx, b.env.Timings.Of(key).MaxStale)
	if err != nil {
		return nil, err
	}
	place, err := b.look(key)
	if errors.Is(err, backend.ErrNotFound) && stale == nil && b.lookAgain(ctx) {
		place, err = b.look(key)
	}
	if err != nil {
		return nil, err
	}
	defer place.Destroy()
	b.tellOnce(key, place.Notice)
	now := time.Now()
	version, err := b.versions.of(key, place, now)
	if err != nil {
		return nil, backend.Alone(err)
	}
	v, err := b.open(ctx, place, now)
	b.note(key, version, v, err)
	if err != nil {
		return nil, err
	}
	return &backend.Secret{Value: v, Version: version, Stale: stale}, nil
}

// An outcome is how opening a version of a secret ended.
type outcome struct {
	version backend.Version
	size    int64
	err     error
}

// note remembers that for Stat.
func (b *Backend) note(key string, version backend.Version, v *secret.Value, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.outcomes[key] = outcome{version, int64(v.Len()), err}
}

func (b *Backend) open(ctx context.Context, place *vault.Place, now time.Time) (*secret.Value, error) {
	if place.Attachment != "" {
		return b.attachment(ctx, place)
	}
	v, err := place.Open(now)
	if err != nil {
		return nil, backend.Alone(err)
	}
	return v, nil
}

// look finds the place of key in the vault that is there.
func (b *Backend) look(key string) (*vault.Place, error) {
	b.vaultMu.RLock()
	defer b.vaultMu.RUnlock()
	if b.vault == nil {
		return nil, errLocked
	}
	place, err := b.vault.LookKey(key)
	if err != nil {
		return nil, backend.Alone(err)
	}
	return place, nil
}

// tellOnce puts something about a key into the log, once.
func (b *Backend) tellOnce(key, what string) {
	if what == "" {
		return
	}
	b.mu.Lock()
	told := b.noted[key]
	b.noted[key] = true
	b.mu.Unlock()
	if !told {
		b.log.Warn(what, "key", key)
	}
}

// Stat tells the version of what key names, and the size of one that was opened:
// padding hides it before.
func (b *Backend) Stat(_ context.Context, key string) (backend.Info, error) {
	unknown := backend.Info{Size: backend.SizeUnknown}
	b.vaultMu.RLock()
	defer b.vaultMu.RUnlock()
	if b.vault == nil {
		b.mu.Lock()
		defer b.mu.Unlock()
		unknown.Err = b.err
		return unknown, nil
	}
	if key == "" {
		return backend.Info{Size: backend.SizeUnknown, Dir: true}, nil
	}
	place, err := b.vault.LookKey(key)
	if err != nil {
		return backend.Info{}, backend.Alone(err)
	}
	defer place.Destroy()
	if unknown.Version, err = b.versions.of(key, place, time.Now()); err != nil {
		unknown.Err = backend.Alone(err)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if o := b.outcomes[key]; o.version == unknown.Version {
		if unknown.Err = o.err; o.err == nil {
			unknown.Size = o.size
		}
	}
	return unknown, nil
}

// List gives the keys of all items at the top; there is nothing below. People are
// shown Entries.
func (b *Backend) List(_ context.Context, key string) ([]backend.Entry, error) {
	b.vaultMu.RLock()
	defer b.vaultMu.RUnlock()
	switch {
	case b.vault == nil:
		return nil, errLocked
	case key != "":
		return nil, fmt.Errorf("there is no directory %q: %w", key, backend.ErrNotFound)
	}
	return b.vault.Keys(), nil
}

// Entries lists folders, collections, and items.
func (b *Backend) Entries(ctx context.Context, place string) ([]backend.Item, error) {
	if _, err := b.current(ctx, b.env.Timings.Default.MaxStale); err != nil {
		return nil, err
	}
	b.vaultMu.RLock()
	defer b.vaultMu.RUnlock()
	if b.vault == nil {
		return nil, errLocked
	}
	return b.vault.Entries(place)
}
