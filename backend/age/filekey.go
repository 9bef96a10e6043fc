package age

import (
	"context"
	"slices"

	"github.com/secretfs/secretfs/backend"
	"github.com/secretfs/secretfs/backend/secret"
)

// fileKeys are recovered file keys by digest of the file that they open. They are
// kept, so that a plugin need not be asked, or its token touched, at each read.
type fileKeys map[backend.Version]*secret.Value

// keep takes v over. mu is held.
func (e *entry) keep(digest backend.Version, v *secret.Value) {
	if e.keys == nil {
		e.keys = fileKeys{}
	}
	e.keys[digest].Destroy()
	e.keys[digest] = v
}

// forgetKeys wipes all file keys but that for digest, if it is there. mu is held.
func (e *entry) forgetKeys(but backend.Version) {
	for digest, v := range e.keys {
		if digest != but {
			v.Destroy()
			delete(e.keys, digest)
		}
	}
}

// forgetAllKeys is called with mu held.
func (b *Backend) forgetAllKeys() {
	for _, e := range b.entries {
		e.forgetKeys("")
	}
}

// A Lockable may be Config.Keys: it forgets what a passphrase has opened.
type Lockable interface {
	// Open opens what takes a passphrase.
	Open(ctx context.Context) error
	Lock()
}

// Lock wipes the file keys, and recovers none until Unlock.
func (b *Backend) Lock(context.Context) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.locked = true
	b.forgetAllKeys()
	if l, ok := b.cfg.Keys.(Lockable); ok {
		l.Lock()
	}
	b.touch()
	return nil
}

// Unlock opens the key files that take a passphrase. Whether they are the right
// ones only a file can tell.
func (b *Backend) Unlock(ctx context.Context) error {
	b.mu.Lock()
	b.locked = false
	b.mu.Unlock()
	if l, ok := b.cfg.Keys.(Lockable); ok {
		if err := l.Open(ctx); err != nil {
			return err
		}
	}
	return backend.ErrUnsupported
}

func (b *Backend) keyStamps() []stamp {
	with := make([]stamp, len(b.cfg.KeyFiles))
	for i, name := range b.cfg.KeyFiles {
		with[i] = stampAt(name)
	}
	return with
}

// remembered is the file key of s, a state of e, if it was recovered before. One
// that a key file has opened which is no longer there, or another, is forgotten.
func (b *Backend) remembered(e *entry, s *sealed) *secret.Value {
	with := b.keyStamps()
	b.mu.Lock()
	defer b.mu.Unlock()
	if !slices.Equal(with, b.openedWith) {
		b.forgetAllKeys()
		b.openedWith = with
		b.touch()
	}
	if v := e.keys[s.digest]; v != nil {
		return v.Share()
	}
	return nil
}

// fileKey recovers the file key of s.
func (b *Backend) fileKey(ctx context.Context, e *entry, s *sealed) (*secret.Value, error) {
	with := b.keyStamps()
	b.mu.Lock()
	locked := b.locked
	b.mu.Unlock()
	if locked {
		return nil, backend.ErrLocked
	}
	v, err := b.cfg.Keys.FileKey(ctx, s.header)
	if err != nil {
		return nil, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ctx.Err() == nil && !e.dropped && !b.locked && slices.Equal(with, b.openedWith) {
		e.keep(s.digest, v.Share())
	}
	return v, nil
}
