package age

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/secretfs/secretfs/backend"
	"github.com/secretfs/secretfs/backend/secret"
	"github.com/secretfs/secretfs/backend/watch"
)

// Keys recover file keys. The errors wrap the sentinels of package backend; the
// Value is the caller's to destroy.
type Keys interface {
	FileKey(ctx context.Context, header []byte) (*secret.Value, error)
}

// A Config says which files a Backend serves.
type Config struct {
	Dir  string // absolute path
	Keys Keys
	// KeyFiles are the files that Keys reads: when one of them changes, what
	// could not be decrypted is tried again.
	KeyFiles []string
	// MaxStale is how long the last good version of a file is served while the
	// newest one cannot be used.
	MaxStale time.Duration
	// Save, if set, is called after changes of the last good versions, from a
	// goroutine of the backend. The receiver owns what it is given.
	Save func(backend.Legacy)
	// Saved is what another process was last given by Save. Its Keys are not
	// used after New has returned.
	Saved backend.Legacy
}

const (
	// recheck is how old the last look at a file may be before a request looks
	// again: the net under inotify.
	recheck = time.Second
	// patience is how long a look at a file may delay Stat where an answer is
	// known.
	patience = 100 * time.Millisecond
	// maxLooks is how many looks at files there may be at a time on behalf of
	// Stat and List. Each that hangs in a filesystem costs a thread.
	maxLooks = 64
)

// A Backend serves the files below one directory, and takes notice of their
// changes. It implements backend.Backend, Indexer, Notifier, Refresher, Locker,
// Unlocker and Reporter.
type Backend struct {
	backend.Changes
	cfg    Config
	ctx    context.Context // ends with Close
	cancel context.CancelFunc
	looks  chan struct{}
	watch  *watch.Watch
	begin  func() // watches the key files, once
	dirty  chan struct{}

	mu      sync.Mutex // guards all below, and the entries
	locked  bool
	entries map[string]*entry // by key
	kept    int64             // bytes of ciphertext in entries
	// openedWith is what the key files were when the file keys in entries were
	// recovered.
	openedWith []stamp
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

// New makes a Backend. It touches no file: the first request does.
func New(cfg Config) *Backend {
	b := &Backend{
		cfg: cfg, looks: make(chan struct{}, maxLooks), dirty: make(chan struct{}, 1), entries: map[string]*entry{},
	}
	b.ctx, b.cancel = context.WithCancel(context.Background())
	b.watch = watch.New(b.noticed)
	b.begin = sync.OnceFunc(func() { b.watch.Add(cfg.KeyFiles...) })
	b.restore(cfg.Saved)
	b.cfg.Saved = backend.Legacy{}
	if cfg.Save != nil {
		go b.saving()
	}
	return b
}

var errClosed = fmt.Errorf("the backend is closed: %w", backend.ErrUnavailable)

// Close ends the watch, and closes Config.Keys if that can be closed.
func (b *Backend) Close() error {
	b.cancel()
	b.watch.Close()
	b.mu.Lock()
	b.forgetAllKeys()
	b.mu.Unlock()
	if c, ok := b.cfg.Keys.(io.Closer); ok {
		return c.Close()
	}
	return nil
}

// Get decrypts the file that key names.
func (b *Backend) Get(ctx context.Context, key string) (*backend.Secret, error) {
	e, err := b.entry(key)
	if err != nil {
		return nil, err
	}
	if err := e.acquire(ctx); err != nil {
		return nil, e.named(err)
	}
	defer e.release()
	defer b.drop(key, e)
	b.watching(e)
	return b.open(ctx, e)
}

// Stat tells length and version of the file that key names, also while no key is
// at hand that decrypts it, or that key names a directory.
func (b *Backend) Stat(ctx context.Context, key string) (backend.Info, error) {
	if key == "" {
		return b.statDir(ctx, b.cfg.Dir)
	}
	e, err := b.entry(key)
	if err != nil {
		return backend.Info{}, err
	}
	b.mu.Lock()
	known := !e.checked.IsZero()
	fresh := known && time.Since(e.checked) < recheck
	b.mu.Unlock()
	if !fresh {
		if err := b.refresh(ctx, e, known); err != nil && !known {
			return backend.Info{}, e.named(err)
		}
	}
	info, err := b.info(e)
	b.drop(key, e)
	if errors.Is(err, backend.ErrNotFound) && e.dir != "" {
		if dir, dirErr := b.statDir(ctx, e.dir); dirErr == nil {
			return dir, nil
		}
	}
	return info, err
}

// refresh looks at a file that is not known well enough. It waits for that,
// though not for long where there is an answer without it.
func (b *Backend) refresh(ctx context.Context, e *entry, known bool) error {
	if known {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, patience)
		defer cancel()
	}
	return b.aside(ctx, func() { b.look(ctx, e) })
}

// aside has f run in a goroutine of its own and waits for it until ctx ends: a
// dead server of files delays nobody beyond their own deadline.
func (b *Backend) aside(ctx context.Context, f func()) error {
	if ctx.Err() != nil {
		return late(ctx)
	}
	select {
	case b.looks <- struct{}{}:
	case <-ctx.Done():
		return late(ctx)
	}
	done := make(chan struct{})
	go func() {
		defer func() { <-b.looks; close(done) }()
		f()
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return late(ctx)
	}
}

// late is why ctx has ended.
func late(ctx context.Context) error {
	if errors.Is(ctx.Err(), context.Canceled) {
		return ctx.Err()
	}
	return fmt.Errorf("the file does not open: %w", backend.ErrTimeout)
}

func (b *Backend) tell() {
	if b.ctx.Err() == nil {
		b.Tell()
	}
}

// noticed is called when a file, a directory or a key file may have changed.
func (b *Backend) noticed() {
	ctx, cancel := context.WithTimeout(b.ctx, recheck)
	defer cancel()
	b.lookAgain(ctx, false)
	b.tell() // of files that are new, too
}

// lookAgain looks at all files that were asked for.
func (b *Backend) lookAgain(ctx context.Context, distrust bool) {
	b.mu.Lock()
	all := make([]*entry, 0, len(b.entries))
	for _, e := range b.entries {
		all = append(all, e)
		if e.retry = true; distrust {
			e.stamp = stamp{}
		}
	}
	b.mu.Unlock()
	for _, e := range all {
		_ = b.aside(ctx, func() { b.look(ctx, e) }) // else it is looked at when asked for
	}
}

// Refresh looks at all files again, whatever their times say.
func (b *Backend) Refresh(ctx context.Context) error {
	b.lookAgain(ctx, true)
	if ctx.Err() != nil {
		return late(ctx)
	}
	_, err := b.statDir(ctx, b.cfg.Dir)
	return err
}
