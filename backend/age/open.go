package age

import (
	"bytes"
	"context"
	"errors"
	"time"

	"github.com/secretfs/secretfs/backend"
	"github.com/secretfs/secretfs/backend/secret"
)

// maxKept bounds what is kept of one file for when it can no longer be used,
// maxAllKept that of all of them, in bytes of ciphertext.
const maxKept, maxAllKept = 1 << 20, 64 << 20

// open decrypts the file as it is now, or else the last good version. The caller
// holds the lock of e.
func (b *Backend) open(ctx context.Context, e *entry) (*backend.Secret, error) {
	before, beforeErr := b.info(e)
	s, err := b.read(e)
	var v *secret.Value
	if err == nil {
		v, err = b.decrypt(ctx, e, s)
	}
	if ctx.Err() != nil && err != nil { // nothing was found out
		return nil, e.named(late(ctx))
	}
	if err == nil {
		b.accept(ctx, e, s, v)
	} else {
		b.mu.Lock()
		b.fail(e, s, err)
		b.mu.Unlock()
	}
	if after, afterErr := b.info(e); differ(before, after) || (beforeErr == nil) != (afterErr == nil) {
		defer b.tell()
	}
	if err != nil {
		return b.lastGood(ctx, e)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return &backend.Secret{Value: v, Version: e.version}, nil
}

// differ says that somebody may have seen a before that was not like after.
func differ(before, after backend.Info) bool {
	return before.Version != "" && before.Version != after.Version || (before.Stale == nil) != (after.Stale == nil)
}

func (b *Backend) decrypt(ctx context.Context, e *entry, s *sealed) (*secret.Value, error) {
	if key := b.remembered(e, s); key != nil {
		defer key.Destroy()
		if v, err := s.open(key); err == nil {
			return v, nil
		}
		// What another process has left may not belong together.
	}
	key, err := b.fileKey(ctx, e, s)
	if err != nil {
		return nil, err
	}
	defer key.Destroy()
	return s.open(key)
}

// accept takes s, of which v is the plaintext, for the last good version. One
// with the same plaintext as the one before keeps its version.
func (b *Backend) accept(ctx context.Context, e *entry, s *sealed, v *secret.Value) {
	b.mu.Lock()
	old, version := e.good, s.digest
	b.mu.Unlock()
	if old != nil && (old.digest == s.digest || b.equals(ctx, e, old, v)) {
		version = e.goodAs // written with the lock of e held
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if old == nil || old.digest != s.digest || !e.since.IsZero() {
		b.touch()
	}
	b.forget(e)
	e.forgetKeys(s.digest)
	e.err, e.since, e.attempt, e.retry = nil, time.Time{}, time.Now(), false
	e.newest, e.version = s.bare(), version
	e.good, e.goodAs = e.newest, version
	if n := int64(len(s.payload)); n <= maxKept && b.kept+n <= maxAllKept {
		e.good = &sealed{
			header: bytes.Clone(s.header), nonce: bytes.Clone(s.nonce), payload: bytes.Clone(s.payload),
			size: s.size, digest: s.digest,
		}
		b.kept += n
	}
}

// equals says whether v is the plaintext of s.
func (b *Backend) equals(ctx context.Context, e *entry, s *sealed, v *secret.Value) bool {
	if s.payload == nil || s.size != int64(v.Len()) {
		return false
	}
	old, err := b.decrypt(ctx, e, s)
	if err != nil {
		return false
	}
	defer old.Destroy()
	return old.Equal(v)
}

// lastGood decrypts the last good version while it may be served, or says why the
// newest cannot be used.
func (b *Backend) lastGood(ctx context.Context, e *entry) (*backend.Secret, error) {
	b.mu.Lock()
	why := e.named(e.err)
	usable, version := b.servesGood(e), e.goodAs
	good := e.good
	b.mu.Unlock()
	if !usable {
		return nil, why
	}
	v, err := b.decrypt(ctx, e, good)
	if err != nil {
		return nil, why
	}
	return &backend.Secret{Value: v, Version: version, Stale: why}, nil
}

// servesGood says that the last good version stands in for the newest. mu is held.
func (b *Backend) servesGood(e *entry) bool {
	return e.err != nil && e.good != nil && e.good.payload != nil && time.Since(e.since) <= b.cfg.MaxStale
}

// fail notes that s, or whatever lies there, cannot be used. mu is held.
func (b *Backend) fail(e *entry, s *sealed, err error) {
	if e.err == nil && e.since.IsZero() {
		e.since = time.Now()
		b.touch()
	}
	if e.newest = nil; s != nil {
		e.newest, e.version = s.bare(), s.digest
	}
	e.err, e.attempt, e.retry = err, time.Now(), false
	if errors.Is(err, backend.ErrNotFound) { // whoever removed it meant it
		b.forget(e)
		e.forgetKeys("")
		b.touch()
	}
}

// forget drops the last good version. mu is held.
func (b *Backend) forget(e *entry) {
	if e.good != nil {
		b.kept -= int64(len(e.good.payload))
		e.good, e.goodAs = nil, ""
	}
}
