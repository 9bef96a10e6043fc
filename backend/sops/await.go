package sops

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/secretfs/secretfs/backend"
)

// expired says that the last good version is too old to be served. mu is held.
func (b *Backend) expired() bool { return b.err != nil && time.Since(b.since) > b.cfg.MaxStale }

func (b *Backend) outlived() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.expired()
}

// current is the version to decrypt from, and why it is not the newest.
func (b *Backend) current(ctx context.Context) (doc *Document, stale, err error) {
	b.mu.Lock()
	l := b.due()
	good := b.good
	b.mu.Unlock()
	if l != nil && good == nil {
		if err := b.wait(ctx, l.usable, 0); err != nil {
			return nil, nil, err
		}
	}
	if l != nil {
		if left := patience - time.Since(l.begun); left > 0 {
			_ = b.wait(ctx, l.done, left) // else what there is will do
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.good == nil || b.expired() {
		return nil, nil, b.err
	}
	return b.good.doc, b.err, nil
}

// indexed is the version to answer Stat and List from, and why it is not the
// newest.
func (b *Backend) indexed(ctx context.Context) (doc *Document, stale, err error) {
	b.mu.Lock()
	l := b.due()
	if b.index == nil && l != nil {
		b.mu.Unlock()
		if err := b.awaitIndex(ctx, l); err != nil {
			return nil, nil, err
		}
		b.mu.Lock()
	}
	defer b.mu.Unlock()
	if b.index == nil {
		return nil, nil, b.err
	}
	if b.good != nil {
		stale = b.err
	}
	return b.index, stale, nil
}

// awaitIndex waits no longer than firstLoad for the file to be read. What is left
// to do then ends by itself.
func (b *Backend) awaitIndex(ctx context.Context, l *load) error {
	if left := firstLoad - time.Since(l.begun); left > 0 {
		err := b.wait(ctx, l.indexed, left)
		if err == nil || ctx.Err() != nil || b.ctx.Err() != nil {
			return err
		}
	}
	b.mu.Lock()
	hasRead := l.hasRead
	b.mu.Unlock()
	if !hasRead {
		return b.slow()
	}
	return b.wait(ctx, l.indexed, 0)
}

func (b *Backend) slow() error {
	return b.named(fmt.Errorf("the file does not open: %w", backend.ErrTimeout))
}

// wait ends with done, with ctx, or after limit if there is one.
func (b *Backend) wait(ctx context.Context, done <-chan struct{}, limit time.Duration) error {
	var late <-chan time.Time
	if limit > 0 {
		t := time.NewTimer(limit)
		defer t.Stop()
		late = t.C
	}
	select {
	case <-done:
		return nil
	default:
	}
	select {
	case <-done:
		return nil
	case <-ctx.Done():
	case <-late:
	case <-b.ctx.Done():
		return b.named(errClosed)
	}
	if errors.Is(ctx.Err(), context.Canceled) {
		return b.named(ctx.Err())
	}
	return b.slow()
}
