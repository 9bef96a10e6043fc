package age

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/secretfs/secretfs/backend"
)

// statDir answers for a directory.
func (b *Backend) statDir(ctx context.Context, dir string) (backend.Info, error) {
	var info os.FileInfo
	var err error
	if late := b.aside(ctx, func() { info, err = os.Stat(dir) }); late != nil {
		return backend.Info{}, fmt.Errorf("reading the directory %s: %w", dir, late)
	}
	switch {
	case err != nil:
		return backend.Info{}, b.noDir(dir, err)
	case !info.IsDir():
		return backend.Info{}, backend.Alone(fmt.Errorf("reading the directory %s: it is a file: %w", dir, backend.ErrNotFound))
	}
	return backend.Info{Size: backend.SizeUnknown, Dir: true}, nil
}

// noDir is the error of a directory that cannot be read. Without the backend's
// own one nothing works.
func (b *Backend) noDir(dir string, err error) error {
	err = unreadable(err)
	if dir == b.cfg.Dir {
		if errors.Is(err, backend.ErrNotFound) {
			err = fmt.Errorf("there is no such directory: %w", backend.ErrUnavailable)
		}
		return fmt.Errorf("reading the directory %s: %w", dir, err)
	}
	return backend.Alone(fmt.Errorf("reading the directory %s: %w", dir, err))
}

// List names the .age files of the directory at key without their extension, and
// its directories, sorted. Names that begin with a dot are left out, directories
// that lead back to one above them, and a directory beside a file of its name.
func (b *Backend) List(ctx context.Context, key string) ([]backend.Entry, error) {
	if key != "" && !inside(key) {
		return nil, backend.Alone(fmt.Errorf("no directory can have the key %q: %w", key, backend.ErrNotFound))
	}
	if b.ctx.Err() != nil {
		return nil, errClosed
	}
	var list []backend.Entry
	var err error
	if late := b.aside(ctx, func() { list, err = b.list(key) }); late != nil {
		return nil, fmt.Errorf("reading the directory %s: %w", filepath.Join(b.cfg.Dir, key), late)
	}
	return list, err
}

func (b *Backend) list(key string) ([]backend.Entry, error) {
	dir := filepath.Join(b.cfg.Dir, key)
	b.watch.AddDirs(dir) // before it is read, so that no change is missed
	found, err := os.ReadDir(dir)
	if err != nil {
		return nil, b.noDir(dir, err)
	}
	files := map[string]bool{} // name -> whether it is a directory
	for _, d := range found {
		name, isDir, ok := b.child(key, d)
		if before, twice := files[name]; ok && (!twice || before) {
			files[name] = isDir
		}
	}
	list := make([]backend.Entry, 0, len(files))
	for name, isDir := range files {
		list = append(list, backend.Entry{Name: name, Dir: isDir})
	}
	slices.SortFunc(list, func(a, b backend.Entry) int { return cmp.Compare(a.Name, b.Name) })
	return list, nil
}

// child says as what d, in the directory at key, is shown.
func (b *Backend) child(key string, d fs.DirEntry) (name string, isDir, ok bool) {
	name = d.Name()
	if strings.HasPrefix(name, ".") {
		return "", false, false
	}
	mode, path := d.Type(), filepath.Join(b.cfg.Dir, key, name)
	var info os.FileInfo
	if mode&fs.ModeSymlink != 0 {
		var err error
		if info, err = os.Stat(path); err != nil {
			return "", false, false
		}
		mode = info.Mode()
	}
	switch {
	case mode.IsDir():
		return name, true, info == nil || !b.above(key, info)
	case mode.IsRegular():
		name, ok = strings.CutSuffix(name, extension)
		return name, false, ok
	}
	return "", false, false
}

// above says whether the directory that info is of lies on the way to key.
func (b *Backend) above(key string, info os.FileInfo) bool {
	for dir := key; ; dir = filepath.Dir(dir) {
		if dir == "." {
			dir = ""
		}
		at, err := os.Stat(filepath.Join(b.cfg.Dir, dir))
		if err == nil && os.SameFile(at, info) {
			return true
		}
		if dir == "" {
			return false
		}
	}
}
