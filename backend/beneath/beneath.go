// Package beneath reads files below one directory, and cannot be led out of it:
// not by "..", not by a symbolic link, not by a race with whoever writes there
// (openat2(2), RESOLVE_BENEATH). It is for backends whose secrets are files.
package beneath

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/secretfs/secretfs/backend"
)

// A Dir is a directory that may come, go and be replaced. Its methods are safe for
// concurrent use and end with ctx, whatever the filesystem does. Names are relative,
// with "/", and "" is the directory itself.
//
// Their errors name the file. Those of one file alone say so (backend.Alone).
type Dir struct {
	// Found, where it is set before the first call, is called with the name of a
	// file or directory before that is read. It may block as the filesystem does.
	Found func(name string)

	path  string
	looks chan struct{}
}

// maxLooks is how many calls may wait for the filesystem at a time. Each that
// hangs costs a thread.
const maxLooks = 64

// New opens nothing yet. path is absolute.
func New(path string) *Dir { return &Dir{path: path, looks: make(chan struct{}, maxLooks)} }

// Path is where name is, for a watcher.
func (d *Dir) Path(name string) string { return filepath.Join(d.path, name) }

// An Info is what is known of a file without its content.
type Info struct {
	Dir   bool
	Size  int64
	Stamp Stamp
}

// Stat looks at name. The error wraps ErrNotFound where there is nothing, and
// ErrUnsupported where there is something else than a file or directory.
func (d *Dir) Stat(ctx context.Context, name string) (Info, error) {
	info, err := aside(ctx, d, func() (Info, error) {
		f, err := d.open(name, unix.O_PATH)
		if err != nil {
			return Info{}, err
		}
		defer f.Close()
		return infoOf(f)
	}, nil)
	return info, d.named(name, err)
}

// List names the files and directories in name, sorted. Names that begin with a dot
// are left out, and so are links to directories and links that lead nowhere or out
// of the Dir.
func (d *Dir) List(ctx context.Context, name string) ([]backend.Entry, error) {
	list, err := aside(ctx, d, func() ([]backend.Entry, error) { return d.list(name) }, nil)
	return list, d.named(name, err)
}

func (d *Dir) list(name string) ([]backend.Entry, error) {
	f, err := d.open(name, unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	d.found(name)
	found, err := f.ReadDir(-1)
	if err != nil {
		return nil, unreadable(err)
	}
	list := make([]backend.Entry, 0, len(found))
	for _, e := range found {
		if kind := d.kind(name, e); kind.IsRegular() || kind.IsDir() {
			list = append(list, backend.Entry{Name: e.Name(), Dir: kind.IsDir()})
		}
	}
	slices.SortFunc(list, func(a, b backend.Entry) int { return cmp.Compare(a.Name, b.Name) })
	return list, nil
}

func (d *Dir) found(name string) {
	if d.Found != nil {
		d.Found(name)
	}
}

// kind is what e, in the directory name, is shown as; no kind if it is not.
func (d *Dir) kind(name string, e fs.DirEntry) fs.FileMode {
	if strings.HasPrefix(e.Name(), ".") {
		return fs.ModeIrregular
	}
	if e.Type()&fs.ModeSymlink == 0 {
		return e.Type()
	}
	f, err := d.open(path.Join(name, e.Name()), unix.O_PATH)
	if err != nil {
		return fs.ModeIrregular
	}
	defer f.Close()
	if info, err := infoOf(f); err != nil || info.Dir {
		return fs.ModeIrregular
	}
	return 0
}

// errNoDir marks errors of the Dir as a whole.
var errNoDir = errors.New("the directory is not there")

// open opens name beneath the directory that is there now.
func (d *Dir) open(name string, flags uint64) (*os.File, error) {
	if name == "" {
		name = "."
	} else if !filepath.IsLocal(name) || path.Clean(name) != name || strings.ContainsRune(name, 0) {
		return nil, fmt.Errorf("no file can have this name: %w", backend.ErrNotFound)
	}
	root, err := unix.Open(d.path, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("%w: opening %s: %w: %w", errNoDir, d.path, err, backend.ErrUnavailable)
	}
	defer unix.Close(root)
	how := unix.OpenHow{
		Flags:   flags | unix.O_CLOEXEC,
		Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_MAGICLINKS,
	}
	const tries = 16 // EAGAIN: something on the way was renamed meanwhile
	for range tries {
		var fd int
		if fd, err = unix.Openat2(root, name, &how); err == nil {
			return os.NewFile(uintptr(fd), d.Path(name)), nil
		}
		if err != unix.EAGAIN && err != unix.EINTR {
			break
		}
	}
	return nil, unreadable(err)
}

func infoOf(f *os.File) (Info, error) {
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return Info{}, unreadable(err)
	}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFDIR:
		return Info{Dir: true, Size: backend.SizeUnknown}, nil
	case unix.S_IFREG:
		return Info{Size: st.Size, Stamp: stampOf(&st)}, nil
	}
	return Info{}, fmt.Errorf("it is no regular file: %w", backend.ErrUnsupported)
}

// unreadable is the kind of err, and says why in a sentence.
func unreadable(err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, unix.ENOTDIR):
		return fmt.Errorf("there is no such file: %w", backend.ErrNotFound)
	case errors.Is(err, unix.EXDEV):
		return fmt.Errorf("a symbolic link leads out of the directory, and is not followed: %w", backend.ErrUnsupported)
	case errors.Is(err, unix.ELOOP):
		return fmt.Errorf("symbolic links lead in a circle: %w", backend.ErrUnsupported)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("no permission to read it: %w", backend.ErrUnavailable)
	}
	if in, ok := errors.AsType[*fs.PathError](err); ok {
		err = in.Err
	}
	return fmt.Errorf("%w: %w", err, backend.ErrUnavailable)
}

// named puts the path before err. What concerns the whole Dir, and a filesystem
// that does not answer, says something of other files too.
func (d *Dir) named(name string, err error) error {
	switch {
	case err == nil, errors.Is(err, context.Canceled):
		return err
	case errors.Is(err, errNoDir):
		return err
	}
	err = fmt.Errorf("reading %s: %w", d.Path(name), err)
	if errors.Is(err, backend.ErrTimeout) {
		return err
	}
	return backend.Alone(err)
}
