package dir

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"time"

	"github.com/secretfs/secretfs/backend"
	"github.com/secretfs/secretfs/backend/beneath"
	"github.com/secretfs/secretfs/backend/salt"
	"github.com/secretfs/secretfs/backend/watch"
)

// patience is how long a look at a file may delay Stat where an answer is known.
const patience = 100 * time.Millisecond

// A Backend serves the files below one directory, and takes notice of their
// changes. It keeps no plaintext.
type Backend struct {
	dir      *beneath.Dir
	versions *salt.Salt
	watch    *watch.Watch

	mu      sync.RWMutex // held for reading while versions is in use
	closed  bool
	changed func()

	known   sync.Mutex       // guards what follows
	entries map[string]entry // by key
	watched map[string]bool
}

// An entry is what is known of one file.
type entry struct {
	stamp   beneath.Stamp // zero where it is to be read again
	size    int64
	version backend.Version
}

var (
	_ backend.Indexer   = (*Backend)(nil)
	_ backend.Notifier  = (*Backend)(nil)
	_ backend.Refresher = (*Backend)(nil)

	errClosed = fmt.Errorf("the backend is closed: %w", backend.ErrUnavailable)
)

// New makes a Backend, which owns versions. It touches no file: the first request
// does.
func New(dir *beneath.Dir, versions *salt.Salt) *Backend {
	b := &Backend{dir: dir, versions: versions, entries: map[string]entry{}, watched: map[string]bool{}}
	b.watch = watch.New(b.tell)
	dir.Found = b.watching
	return b
}

// Get reads the file that key names.
func (b *Backend) Get(ctx context.Context, key string) (*backend.Secret, error) {
	f, e, err := b.read(ctx, key)
	if err != nil {
		return nil, err
	}
	return &backend.Secret{Value: f.Value, Version: e.version}, nil
}

// read reads a file and keeps what is to be known of it.
func (b *Backend) read(ctx context.Context, key string) (beneath.File, entry, error) {
	f, err := b.dir.Read(ctx, key)
	if err != nil {
		b.forget(key, err)
		return f, entry{}, err
	}
	b.mu.RLock()
	defer b.mu.RUnlock()
	if b.closed {
		f.Value.Destroy()
		return beneath.File{}, entry{}, errClosed
	}
	e := entry{f.Stamp, int64(f.Value.Len()), b.versions.Version(key, f.Value.Bytes())}
	b.known.Lock()
	defer b.known.Unlock()
	b.entries[key] = e
	return f, e, nil
}

func (b *Backend) forget(key string, err error) {
	if errors.Is(err, backend.ErrNotFound) || errors.Is(err, backend.ErrUnsupported) {
		b.known.Lock()
		defer b.known.Unlock()
		delete(b.entries, key)
	}
}

func (b *Backend) entry(key string) (entry, bool) {
	b.known.Lock()
	defer b.known.Unlock()
	e, ok := b.entries[key]
	return e, ok
}

// Stat tells length and version of the file that key names, or that it names a
// directory. A file that may have changed is read for that: a new copy of the same
// content is no new version.
func (b *Backend) Stat(ctx context.Context, key string) (backend.Info, error) {
	last, known := b.entry(key)
	if known {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, patience)
		defer cancel()
	}
	info, err := b.dir.Stat(ctx, key)
	switch {
	case known && errors.Is(err, backend.ErrTimeout):
		return last.info(), nil
	case err != nil:
		b.forget(key, err)
		return backend.Info{}, err
	case info.Dir:
		return backend.Info{Size: backend.SizeUnknown, Dir: true}, nil
	case known && info.Stamp == last.stamp:
		return last.info(), nil
	}
	f, e, err := b.read(ctx, key)
	f.Value.Destroy()
	if known && errors.Is(err, backend.ErrTimeout) {
		return last.info(), nil
	}
	if err != nil {
		return backend.Info{}, err
	}
	return e.info(), nil
}

func (e entry) info() backend.Info { return backend.Info{Size: e.size, Version: e.version} }

// List names the files and directories in the one at key; see beneath.Dir.
func (b *Backend) List(ctx context.Context, key string) ([]backend.Entry, error) {
	return b.dir.List(ctx, key)
}

// watching begins to watch a file or directory that is there, its directory, and
// where symbolic links on the way lead.
func (b *Backend) watching(key string) {
	file := b.dir.Path(key)
	b.known.Lock()
	begun := b.watched[file]
	b.watched[file] = true
	b.known.Unlock()
	if !begun {
		b.watch.AddDirs(b.dir.Path(""), filepath.Dir(file))
		b.watch.Add(file)
	}
}

// Notify has changed called after each change of what is served. Call it before
// the first Get.
func (b *Backend) Notify(changed func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.changed = changed
}

func (b *Backend) tell() {
	b.mu.RLock()
	changed := b.changed
	if b.closed {
		changed = nil
	}
	b.mu.RUnlock()
	if changed != nil {
		changed()
	}
}

// Refresh has all files read again, whatever their times say.
func (b *Backend) Refresh(ctx context.Context) error {
	b.known.Lock()
	for key, e := range b.entries {
		e.stamp = beneath.Stamp{}
		b.entries[key] = e
	}
	b.known.Unlock()
	_, err := b.dir.Stat(ctx, "")
	return err
}

// Close ends the watch.
func (b *Backend) Close() error {
	b.watch.Close()
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
	b.versions.Close()
	return nil
}
