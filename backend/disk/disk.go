// Package disk is the state directory: what backends keep over a reboot. It is
// the one place in which anything of a secret reaches a disk, and so it is given
// ciphertext only; it cannot tell, and does not encrypt.
//
// Each backend has a folder of its own there (0700), in which every item is a
// file (0600) that is replaced whole.
package disk

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/secretfs/secretfs/backend"
)

// maxFile bounds what Load reads, in bytes: it is all held in memory.
const maxFile = 1 << 30

// leftover is how old a temporary file is that nobody writes any more.
const leftover = time.Minute

// A Store is the folder of one backend. It implements backend.Store and is safe
// for concurrent use, also by several processes. The folder is made when
// something is first saved.
type Store struct {
	state  string // the state directory
	folder string // the name of the folder in it
	mu     sync.Mutex
	tidied bool
}

var _ backend.Store = (*Store)(nil)

// New is the folder of the backend called name in the state directory at state;
// one of several with a part. It touches nothing.
func New(state, name, part string) *Store {
	return &Store{state: state, folder: backend.FileName(name, part)}
}

// Path is where the files lie.
func (s *Store) Path() string { return filepath.Join(s.state, s.folder) }

// Load reads what was saved under name; the error wraps fs.ErrNotExist where
// nothing was.
func (s *Store) Load(name string) ([]byte, error) {
	data, err := s.load(name)
	return data, s.named("reading", name, err)
}

func (s *Store) load(name string) ([]byte, error) {
	if err := check(name); err != nil {
		return nil, err
	}
	dir, err := s.open()
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	info, err := dir.Lstat(name)
	switch {
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular():
		return nil, errors.New("it is no regular file")
	case info.Size() > maxFile:
		return nil, fmt.Errorf("it has %d bytes, expected at most %d", info.Size(), maxFile)
	}
	return dir.ReadFile(name)
}

// Remove takes away what was saved under name. When it returns nil, a power cut
// does not bring it back.
func (s *Store) Remove(name string) error {
	return s.named("removing", name, s.remove(name))
}

func (s *Store) remove(name string) error {
	if err := check(name); err != nil {
		return err
	}
	dir, err := s.open()
	if err == nil {
		defer dir.Close()
		if err = dir.Remove(name); err == nil {
			err = syncDir(dir)
		}
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// Names lists what is saved, in no order.
func (s *Store) Names() ([]string, error) {
	dir, err := s.open()
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, s.named("listing", "", err)
	}
	defer dir.Close()
	f, err := dir.Open(".")
	if err != nil {
		return nil, s.named("listing", "", err)
	}
	defer f.Close()
	all, err := f.Readdirnames(-1)
	names := all[:0]
	for _, name := range all {
		if check(name) == nil {
			names = append(names, name)
		}
	}
	return names, s.named("listing", "", err)
}

// open opens the folder, if it is there.
func (s *Store) open() (*os.Root, error) {
	state, err := os.OpenRoot(s.state)
	if err != nil {
		return nil, err
	}
	defer state.Close()
	dir, err := state.OpenRoot(s.folder)
	if err != nil {
		return nil, err
	}
	if err := private(dir); err != nil {
		dir.Close()
		return nil, err
	}
	return dir, nil
}

// private refuses a folder that is not ours alone: whoever may write to it can
// put back an older state, or one of their own.
func private(dir *os.Root) error {
	f, err := dir.Open(".")
	if err != nil {
		return err
	}
	defer f.Close()
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return err
	}
	if int(st.Uid) != os.Geteuid() || st.Mode&0o077 != 0 {
		return fmt.Errorf("the folder belongs to user %d and has mode %04o; want %d and 0700", st.Uid, st.Mode&0o7777, os.Geteuid())
	}
	return nil
}

// check keeps names to what backend.Store says, so that none is another's
// temporary file or leads elsewhere.
func check(name string) error {
	bad := func(r rune) bool { return (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '-' && r != '.' }
	if strings.Trim(name, ".") == "" || len(name) > 200 || strings.ContainsFunc(name, bad) {
		return fmt.Errorf("%q is no name for it: want up to 200 of a to z, 0 to 9, dots and dashes", name)
	}
	return nil
}

// named says which file err is about.
func (s *Store) named(doing, name string, err error) error {
	if err == nil {
		return nil
	}
	cause := err
	if in, ok := errors.AsType[*fs.PathError](err); ok {
		cause = in.Err // its path is relative to the folder
	}
	if in, ok := errors.AsType[*os.LinkError](err); ok {
		cause = in.Err
	}
	return fmt.Errorf("%s %s: %w", doing, filepath.Join(s.Path(), name), cause)
}
