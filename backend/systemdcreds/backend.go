package systemdcreds

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"

	"github.com/secretfs/secretfs/backend"
	"github.com/secretfs/secretfs/backend/beneath"
	"github.com/secretfs/secretfs/backend/helper"
	"github.com/secretfs/secretfs/backend/secret"
	"github.com/secretfs/secretfs/backend/watch"
)

// A Backend serves the credentials below one directory, and takes notice of their
// changes. It keeps no plaintext.
type Backend struct {
	backend.Changes
	dir    *beneath.Dir
	start  helper.Starter
	watch  *watch.Watch
	ctx    context.Context // ends with Close
	cancel context.CancelFunc

	mu      sync.Mutex // guards what follows
	watched map[string]bool
}

var (
	_ backend.Remote   = (*Backend)(nil)
	_ backend.Indexer  = (*Backend)(nil)
	_ backend.Notifier = (*Backend)(nil)
)

// Open is the backend.Opener of this package. It touches no file.
func Open(config any, env backend.Env) (backend.Backend, error) {
	b := &Backend{dir: beneath.New(config.(Settings).Path), start: env.Helper, watched: map[string]bool{}}
	b.ctx, b.cancel = context.WithCancel(context.Background())
	b.watch = watch.New(b.tell)
	b.dir.Found = b.watching
	return b, nil
}

// Polls is false: changes are noticed.
func (*Backend) Polls() bool { return false }

var errClosed = fmt.Errorf("the backend is closed: %w", backend.ErrUnavailable)

// Get decrypts the credential that key names.
func (b *Backend) Get(ctx context.Context, key string) (*backend.Secret, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(b.ctx, cancel)()
	file, sealed, err := b.find(ctx, key)
	var v *secret.Value
	if err == nil {
		defer sealed.Destroy()
		v, err = b.decrypt(ctx, targetOf(key).names(file), sealed)
	}
	switch {
	case b.ctx.Err() != nil:
		v.Destroy()
		return nil, errClosed
	case err != nil && file != "" && !errors.Is(err, context.Canceled):
		err = fmt.Errorf("decrypting %s: %w", b.dir.Path(file), err)
		if !errors.Is(err, backend.ErrTimeout) {
			err = backend.Alone(err)
		}
		return nil, err
	case err != nil:
		return nil, err
	}
	return &backend.Secret{Value: v, Version: versionOf(sealed)}, nil
}

// find reads the file of key. It is not secret, and comes in locked memory because
// it goes to a helper.
func (b *Backend) find(ctx context.Context, key string) (file string, sealed *secret.Value, err error) {
	for _, file := range targetOf(key).files {
		f, err := b.dir.Read(ctx, file)
		if err == nil {
			return file, f.Value, nil
		}
		if !errors.Is(err, backend.ErrNotFound) {
			return "", nil, err
		}
	}
	return "", nil, b.none(key)
}

func (b *Backend) none(key string) error {
	return backend.Alone(fmt.Errorf("there is no file %s: %w",
		strings.Join(b.paths(key), " and no file "), backend.ErrNotFound))
}

func (b *Backend) paths(key string) (all []string) {
	for _, file := range targetOf(key).files {
		all = append(all, b.dir.Path(file))
	}
	return all
}

// versionOf names what is encrypted by its ciphertext.
func versionOf(sealed *secret.Value) backend.Version {
	sum := sha256.Sum256(sealed.Bytes())
	return backend.Version(hex.EncodeToString(sum[:12]))
}

// Stat tells the version of what key names, or that it names a directory. How long
// the secret is, the file does not tell.
func (b *Backend) Stat(ctx context.Context, key string) (backend.Info, error) {
	dir := key == ""
	if !dir {
		_, sealed, err := b.find(ctx, key)
		if err == nil {
			defer sealed.Destroy()
			return backend.Info{Size: backend.SizeUnknown, Version: versionOf(sealed)}, nil
		}
		if !errors.Is(err, backend.ErrNotFound) || strings.HasPrefix(key, exactMark) {
			return backend.Info{}, err
		}
	}
	info, err := b.dir.Stat(ctx, key)
	switch {
	case dir && err != nil, err != nil && !errors.Is(err, backend.ErrNotFound):
		return backend.Info{}, err
	case err != nil || !info.Dir:
		return backend.Info{}, b.none(key)
	}
	return backend.Info{Size: backend.SizeUnknown, Dir: true}, nil
}

// List names the credentials in the directory at key without ".cred", and its
// directories; see beneath.Dir.
func (b *Backend) List(ctx context.Context, key string) ([]backend.Entry, error) {
	found, err := b.dir.List(ctx, key)
	if err != nil {
		return nil, err
	}
	list := make([]backend.Entry, 0, len(found))
	seen := map[string]bool{}
	for _, e := range found { // sorted: a comes before a.cred
		if short, ok := strings.CutSuffix(e.Name, extension); ok && !e.Dir && short != "" {
			e.Name = short
		}
		if seen[e.Name] {
			continue
		}
		seen[e.Name] = true
		list = append(list, e)
	}
	return list, nil
}

// watching begins to watch a file or directory that is there, its directory, and
// where symbolic links on the way lead.
func (b *Backend) watching(name string) {
	file := b.dir.Path(name)
	b.mu.Lock()
	begun := b.watched[file]
	b.watched[file] = true
	b.mu.Unlock()
	if !begun {
		b.watch.AddDirs(b.dir.Path(""), filepath.Dir(file))
		b.watch.Add(file)
	}
}

func (b *Backend) tell() {
	if b.ctx.Err() == nil {
		b.Tell()
	}
}

// Close ends the watch and what runs.
func (b *Backend) Close() error {
	b.cancel()
	b.watch.Close()
	return nil
}
