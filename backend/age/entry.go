package age

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/secretfs/secretfs/backend"
)

const (
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
	keys    fileKeys
	dropped bool // nobody will find it any more
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
		e.dropped = true
		e.forgetKeys("")
	}
}

// errNoDir says that no file of a backend can be had.
var errNoDir = errors.New("the directory is not there")

// named puts the path before err, which concerns this file alone, unless it did
// not open in time, or the directory is gone: then others will not do better.
func (e *entry) named(err error) error {
	err = fmt.Errorf("reading %s: %w", e.path, err)
	if errors.Is(err, backend.ErrTimeout) || errors.Is(err, errNoDir) {
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
	case same, known && b.unchanged(e):
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

// unchanged says whether the file still is the last good version, which needs no
// key. The caller holds the lock of e.
func (b *Backend) unchanged(e *entry) bool {
	file, st, err := read(e.path)
	if err != nil {
		return false
	}
	s, err := parse(file)
	if err != nil {
		return false
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if e.err != nil || e.good == nil || e.good.digest != s.digest {
		return false
	}
	e.stamp, e.checked = st, time.Now()
	e.newest, e.version, e.since = s.bare(), e.goodAs, time.Time{}
	return true
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
		err = fmt.Errorf("%w: %w", errNoDir, backend.ErrUnavailable)
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

// info is what is known of e.
func (b *Backend) info(e *entry) (backend.Info, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.servesGood(e):
		return backend.Info{Size: e.good.size, Version: e.goodAs, Stale: e.named(e.err)}, nil
	case e.newest != nil && (e.err == nil || !errors.Is(e.err, backend.ErrCorrupt)):
		info := backend.Info{Size: e.newest.size, Version: e.version}
		if e.err != nil {
			info.Err = e.named(e.err)
		}
		return info, nil
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
		case e.err == nil && e.good != nil && !e.attempt.IsZero(): // not what another process has left
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
