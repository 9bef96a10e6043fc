package age

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/secretfs/secretfs/backend"
	"github.com/secretfs/secretfs/backend/secret"
)

const (
	// maxKept bounds what is kept of one file for when it can no longer be
	// used, maxAllKept that of all of them, in bytes of ciphertext.
	maxKept, maxAllKept = 1 << 20, 64 << 20
	// again is the pause before a file that nothing opened is tried again by
	// itself; a changed file, or key file, is tried at once.
	again = 30 * time.Second
	// keyTime bounds one recovery of a file key that no reader waits for.
	keyTime = 30 * time.Second
)

// An entry is what is known of one file. Its fields are guarded by Backend.mu;
// path, dir and lock do not change.
type entry struct {
	path string
	dir  string        // the directory that the key may name instead, or ""
	lock chan struct{} // held by whoever reads the file

	watched bool
	stamp   stamp
	checked time.Time // when the file was last looked at, zero if never
	newest  *sealed   // what lies there, nil if that is no use; without payload
	version backend.Version
	err     error     // why it cannot be decrypted, nil if it can or was not tried
	attempt time.Time // when that was last found out
	retry   bool      // a key file has changed since
	good    *sealed   // the last one that was decrypted, with payload if kept
	goodAs  backend.Version
	since   time.Time // when good ceased to be the newest
}

// entry finds or makes the entry of key.
func (b *Backend) entry(key string) (*entry, error) {
	path, ok := pathOf(b.cfg.Dir, key)
	if !ok {
		return nil, backend.Alone(fmt.Errorf("no file can have the key %q: %w", key, backend.ErrNotFound))
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ctx.Err() != nil {
		return nil, errClosed
	}
	e := b.entries[key]
	if e == nil {
		e = &entry{path: path, lock: make(chan struct{}, 1)}
		if inside(key) {
			e.dir = filepath.Join(b.cfg.Dir, key)
		}
		b.entries[key] = e
	}
	return e, nil
}

// drop forgets an entry whose file is not there: any name may be asked for.
func (b *Backend) drop(key string, e *entry) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.entries[key] == e && errors.Is(e.err, backend.ErrNotFound) {
		delete(b.entries, key)
	}
}

// named puts the path before err, which concerns this file alone, unless it did
// not open in time: then others in its place will not either.
func (e *entry) named(err error) error {
	err = fmt.Errorf("reading %s: %w", e.path, err)
	if errors.Is(err, backend.ErrTimeout) {
		return err
	}
	return backend.Alone(err)
}

func (e *entry) acquire(ctx context.Context) error {
	if ctx.Err() != nil {
		return late(ctx)
	}
	select {
	case e.lock <- struct{}{}:
		return nil
	case <-ctx.Done():
		return late(ctx)
	}
}

func (e *entry) release() { <-e.lock }

// watching begins to watch for changes of e and of the key files.
func (b *Backend) watching(e *entry) {
	b.begin()
	b.mu.Lock()
	begun := e.watched
	e.watched = true
	b.mu.Unlock()
	if begun {
		return
	}
	b.watch.AddDirs(filepath.Dir(e.path))
	if info, err := os.Lstat(e.path); err == nil && info.Mode()&os.ModeSymlink != 0 {
		b.watch.Add(e.path)
	}
}

// look brings what is known of e up to date; ctx bounds waiting for others. What was decrypted before is
// decrypted again if it has changed: only that tells whether it is still of use,
// and the same secret.
func (b *Backend) look(ctx context.Context, e *entry) {
	if e.acquire(ctx) != nil {
		return
	}
	defer e.release()
	b.watching(e)
	now := stampAt(e.path)
	b.mu.Lock()
	same := e.settled(now)
	if same {
		e.checked = time.Now()
	}
	known := e.good != nil
	b.mu.Unlock()
	switch {
	case same:
	case known:
		ctx, cancel := context.WithTimeout(b.ctx, keyTime)
		defer cancel()
		if s, err := b.open(ctx, e); err == nil {
			s.Value.Destroy()
		}
	default:
		_, _ = b.read(e)
	}
}

// settled says that reading the file again would end as it did last time. mu is
// held.
func (e *entry) settled(now stamp) bool {
	if now != e.stamp || now == (stamp{}) {
		return false
	}
	return e.err == nil || errors.Is(e.err, backend.ErrCorrupt) || !e.retry && time.Since(e.attempt) < again
}

// read reads the file and publishes what can be told of it without a key. The
// caller holds the lock of e.
func (b *Backend) read(e *entry) (*sealed, error) {
	file, st, err := read(e.path)
	var s *sealed
	switch {
	case err == nil:
		s, err = parse(file)
	case errors.Is(err, backend.ErrNotFound) && e.dir != "" && stampAt(b.cfg.Dir) == (stamp{}):
		err = fmt.Errorf("the directory %s is not there: %w", b.cfg.Dir, backend.ErrUnavailable)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	e.stamp, e.checked = st, time.Now()
	switch {
	case err != nil:
		b.fail(e, nil, err)
		return nil, err
	case e.good == nil && (e.newest == nil || e.newest.digest != s.digest):
		e.newest, e.version = s.bare(), s.digest
		e.err = nil // it is to be found out
	}
	return s, nil
}

// bare is s without its payload, which is too long to be kept for nothing.
func (s *sealed) bare() *sealed {
	return &sealed{size: s.size, digest: s.digest}
}

// fail notes that s, or whatever lies there, cannot be used. mu is held.
func (b *Backend) fail(e *entry, s *sealed, err error) {
	if e.err == nil {
		e.since = time.Now()
	}
	if e.newest = nil; s != nil {
		e.newest, e.version = s.bare(), s.digest
	}
	e.err, e.attempt, e.retry = err, time.Now(), false
	if errors.Is(err, backend.ErrNotFound) { // whoever removed it meant it
		b.forget(e)
	}
}

// forget drops the last good version. mu is held.
func (b *Backend) forget(e *entry) {
	if e.good != nil {
		b.kept -= int64(len(e.good.payload))
		e.good, e.goodAs = nil, ""
	}
}

// open decrypts the file as it is now, or else the last good version. The caller
// holds the lock of e.
func (b *Backend) open(ctx context.Context, e *entry) (*backend.Secret, error) {
	before, beforeErr := b.info(e)
	s, err := b.read(e)
	var v *secret.Value
	if err == nil {
		v, err = b.decrypt(ctx, s)
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

func (b *Backend) decrypt(ctx context.Context, s *sealed) (*secret.Value, error) {
	key, err := b.cfg.Keys.FileKey(ctx, s.header)
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
	if old != nil && (old.digest == s.digest || b.equals(ctx, old, v)) {
		version = e.goodAs // written with the lock of e held
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.forget(e)
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
func (b *Backend) equals(ctx context.Context, s *sealed, v *secret.Value) bool {
	if s.payload == nil || s.size != int64(v.Len()) {
		return false
	}
	old, err := b.decrypt(ctx, s)
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
	v, err := b.decrypt(ctx, good)
	if err != nil {
		return nil, why
	}
	return &backend.Secret{Value: v, Version: version, Stale: why}, nil
}

// servesGood says that the last good version stands in for the newest. mu is held.
func (b *Backend) servesGood(e *entry) bool {
	return e.err != nil && e.good != nil && e.good.payload != nil && time.Since(e.since) <= b.cfg.MaxStale
}

// info is what is known of e.
func (b *Backend) info(e *entry) (backend.Info, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.servesGood(e):
		return backend.Info{Size: e.good.size, Version: e.goodAs, Stale: e.named(e.err)}, nil
	case e.newest != nil && (e.err == nil || !errors.Is(e.err, backend.ErrCorrupt)):
		return backend.Info{Size: e.newest.size, Version: e.version}, nil
	case e.err != nil:
		return backend.Info{}, e.named(e.err)
	}
	return backend.Info{Size: backend.SizeUnknown}, nil
}

// State tells how the files that were asked for are doing: each stands alone, so
// that the backend is well as long as one of them can be used.
func (b *Backend) State() (backend.State, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	var worst error
	tried := false
	for _, e := range b.entries {
		switch {
		case e.err == nil && e.good != nil:
			return backend.Ready, nil
		case e.err != nil && !errors.Is(e.err, backend.ErrNotFound):
			if worst == nil || errors.Is(worst, backend.ErrLocked) && !errors.Is(e.err, backend.ErrLocked) {
				worst = e.named(e.err)
			}
		}
		tried = tried || !e.attempt.IsZero()
	}
	switch {
	case errors.Is(worst, backend.ErrLocked):
		return backend.Locked, worst
	case worst != nil:
		return backend.Failed, worst
	case !tried:
		return backend.Unread, nil
	}
	return backend.Ready, nil
}
