package sops

import (
	"context"
	"fmt"
	"maps"

	"github.com/secretfs/secretfs/backend"
)

var errLocked = fmt.Errorf("the backend is locked: %w", backend.ErrLocked)

// A lockable KeySource forgets what a passphrase has opened.
type lockable interface{ Lock() }

// Lock forgets the data key, and recovers none until Unlock. Names and lengths,
// which are not secret, are still told.
func (b *Backend) Lock(context.Context) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.locked = true
	b.forget()
	if l, ok := b.cfg.Keys.(lockable); ok {
		l.Lock()
	}
	return nil
}

// forget drops the last good version. mu is held.
func (b *Backend) forget() {
	if b.good != nil {
		b.index = b.good.doc.locked()
		b.good.dataKey.Destroy()
	}
	if b.saved != nil {
		b.saved.dataKey.Destroy()
	}
	b.good, b.saved, b.err, b.tried = nil, nil, b.named(errLocked), stamps{}
}

// locked is the document without the key. Who decrypts from d at the moment may do
// so to the end.
func (d *Document) locked() *Document {
	d.mu.Lock()
	defer d.mu.Unlock()
	return &Document{
		format: d.format, meta: d.meta, index: d.index, whole: d.whole,
		rendered: maps.Clone(d.rendered), subtrees: maps.Clone(d.subtrees),
	}
}

// Unlock recovers the data key, or says why it cannot.
func (b *Backend) Unlock(ctx context.Context) error {
	b.mu.Lock()
	b.locked = false
	b.mu.Unlock()
	return b.Refresh(ctx)
}

func (b *Backend) isLocked() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.locked
}
