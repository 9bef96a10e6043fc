package sops

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/secretfs/secretfs/backend"
	"github.com/secretfs/secretfs/backend/secret"
	"github.com/secretfs/secretfs/backend/sops/keys"
	"github.com/secretfs/secretfs/backend/watch"
)

// A KeySource recovers data keys. Its errors wrap the sentinels of package
// backend. The Value is the caller's to destroy.
type KeySource interface {
	DataKey(ctx context.Context, m keys.Metadata) (*secret.Value, error)
}

// A Config says which file a Backend serves.
type Config struct {
	File   string // absolute path
	Format Format
	Keys   KeySource
	// KeyFiles are the files that Keys reads: when one of them changes, a
	// file that could not be decrypted is tried again.
	KeyFiles []string
	// MaxStale is how long the last good version is served while the newest
	// one cannot be used.
	MaxStale time.Duration
	// Save, if set, is called after each version that could be decrypted, from a
	// goroutine of the backend. The receiver owns what it is given.
	Save func(backend.Legacy)
	// Saved is what another process was last given by Save. Its Keys are not
	// used after New has returned.
	Saved backend.Legacy
}

const (
	// recheck is how old the last look at the file may be before a request
	// looks again: the net under inotify.
	recheck = time.Second
	// patience is how long a look at the file may delay requests that could
	// be served from what is known.
	patience = 100 * time.Millisecond
	// firstLoad is how long Stat and List wait for a file to be read, from the
	// first of them on.
	firstLoad = time.Second
)

// A Backend serves the secrets of one file, and takes notice of its changes. It
// implements backend.Backend, Indexer, Notifier, Refresher, Locker, Unlocker and
// Reporter.
//
// The file is read in a goroutine of its own: a FIFO or a dead server in its
// place delays nobody beyond their own deadline.
type Backend struct {
	cfg    Config
	ctx    context.Context // ends with Close
	cancel context.CancelFunc

	mu      sync.Mutex // guards all below
	changed func()
	locked  bool
	good    *edition  // the last version that could be decrypted, or nil
	index   *Document // what Stat and List answer from, or nil
	err     error     // why the newest version is not good, nil if it is
	since   time.Time // when err began

	saved   *saved       // what another process served, until the first load
	watch   *watch.Watch // nil before the first load
	watched bool
	load    *load         // the one under way, or nil
	stale   bool          // the file changed after that one had read it
	asked   bool          // there has been a request
	checked time.Time     // when the file was last looked at
	tried   stamps        // what was there at the last attempt
	attempt time.Time     // when the last attempt failed
	again   time.Duration // pause before the next one
	stuck   int           // readers given up that have not ended
}

// An edition is one decrypted version of the file.
type edition struct {
	doc     *Document
	dataKey *secret.Value // guarded by Backend.mu
}

var (
	_ backend.Backend   = (*Backend)(nil)
	_ backend.Indexer   = (*Backend)(nil)
	_ backend.Notifier  = (*Backend)(nil)
	_ backend.Refresher = (*Backend)(nil)
	_ backend.Locker    = (*Backend)(nil)
	_ backend.Unlocker  = (*Backend)(nil)
	_ backend.Reporter  = (*Backend)(nil)
)

// New makes a Backend. It does not touch the file: the first request does.
func New(cfg Config) *Backend {
	b := &Backend{cfg: cfg}
	b.ctx, b.cancel = context.WithCancel(context.Background())
	b.saved = decodeState(cfg.Saved, cfg.source())
	b.cfg.Saved = backend.Legacy{}
	return b
}

// watching begins to watch for changes, when the file is read for the first time.
func (b *Backend) watching() {
	b.mu.Lock()
	begun := b.watched
	b.watched = true
	b.mu.Unlock()
	if begun {
		return
	}
	w := watch.New(b.noticed)
	w.Add(append([]string{b.cfg.File}, b.cfg.KeyFiles...)...)
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.watch = w; b.ctx.Err() != nil {
		w.Close()
	}
}

// Close ends the watch, forgets the data key, and closes Config.Keys if that can
// be closed.
func (b *Backend) Close() error {
	b.cancel()
	b.mu.Lock()
	b.watch.Close()
	if b.good != nil {
		b.good.dataKey.Destroy()
	}
	if b.saved != nil {
		b.saved.dataKey.Destroy()
	}
	b.good, b.saved, b.index, b.err = nil, nil, nil, errClosed
	b.mu.Unlock()
	if c, ok := b.cfg.Keys.(io.Closer); ok {
		return c.Close()
	}
	return nil
}

var errClosed = fmt.Errorf("the backend is closed: %w", backend.ErrUnavailable)

// Get decrypts the secret that key names.
func (b *Backend) Get(ctx context.Context, key string) (*backend.Secret, error) {
	doc, stale, err := b.current(ctx)
	if err != nil {
		return nil, err
	}
	s, err := doc.Get(key)
	if err != nil {
		return nil, b.named(err)
	}
	s.Stale = stale
	return s, nil
}

// Stat tells length and version of key, also while no key is at hand that
// decrypts the file.
func (b *Backend) Stat(ctx context.Context, key string) (backend.Info, error) {
	doc, stale, err := b.indexed(ctx)
	if err != nil {
		return backend.Info{}, err
	}
	info, err := doc.Stat(key)
	info.Stale, info.Due = stale, stale != nil && b.outlived()
	return info, b.named(err)
}

// List names the members of the sub-tree at key, in the order of the file.
func (b *Backend) List(ctx context.Context, key string) ([]backend.Entry, error) {
	doc, _, err := b.indexed(ctx)
	if err != nil {
		return nil, err
	}
	list, err := doc.List(key)
	return list, b.named(err)
}

// Notify has changed called after each change of what is served. Call it before
// the first Get.
func (b *Backend) Notify(changed func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.changed = changed
}

// Refresh reads the file again now, and tries again to recover its data key.
func (b *Backend) Refresh(ctx context.Context) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	l := b.restart()
	tooLate := b.stale // it has read the file already; another one follows
	for l != nil {
		b.mu.Unlock()
		err := b.wait(ctx, l.done, 0)
		b.mu.Lock()
		if err != nil {
			return err
		}
		if l = nil; tooLate {
			l, tooLate = b.load, false
		}
	}
	return b.err
}

// State tells how the file is doing.
func (b *Backend) State() (backend.State, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.err != nil && b.good != nil && !b.expired():
		return backend.Stale, b.err
	case errors.Is(b.err, backend.ErrLocked):
		return backend.Locked, b.err
	case b.err != nil:
		return backend.Failed, b.err
	case b.good == nil:
		return backend.Unread, nil
	}
	return backend.Ready, nil
}

func (b *Backend) named(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("reading %s: %w", b.cfg.File, err)
}
