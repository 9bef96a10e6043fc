package disk

import (
	"crypto/rand"
	"errors"
	"io/fs"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// tempMark is in the names of temporary files and in no others.
const tempMark = "~"

// Save writes data under name, with mode 0600. When it returns nil the whole is
// on the disk, and after a crash or power cut at any moment either that or what
// was there before.
func (s *Store) Save(name string, data []byte) error {
	return s.named("saving", name, s.save(name, data))
}

func (s *Store) save(name string, data []byte) error {
	if err := check(name); err != nil {
		return err
	}
	dir, err := s.make()
	if err != nil {
		return err
	}
	defer dir.Close()
	s.tidy(dir)
	temp := name + tempMark + rand.Text()
	if err := write(dir, temp, data); err != nil {
		_ = dir.Remove(temp) // it may not be there
		return err
	}
	if err := dir.Rename(temp, name); err != nil {
		_ = dir.Remove(temp)
		return err
	}
	return syncDir(dir)
}

// Clear removes everything, the folder too.
func (s *Store) Clear() error {
	names, err := s.Names()
	for _, name := range names {
		err = errors.Join(err, s.Remove(name))
	}
	state, openErr := os.OpenRoot(s.state)
	if openErr == nil {
		defer state.Close()
		openErr = state.Remove(s.folder)
	}
	if openErr != nil && !errors.Is(openErr, fs.ErrNotExist) {
		err = errors.Join(err, s.named("removing", "", openErr))
	}
	return err
}

// make opens the folder, and makes it where it is missing.
func (s *Store) make() (*os.Root, error) {
	dir, err := s.open()
	if !errors.Is(err, fs.ErrNotExist) {
		return dir, err
	}
	if err := os.MkdirAll(s.state, 0o700); err != nil {
		return nil, err
	}
	state, err := os.OpenRoot(s.state)
	if err != nil {
		return nil, err
	}
	defer state.Close()
	if err := state.Mkdir(s.folder, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, err
	}
	if err := syncDir(state); err != nil {
		return nil, err
	}
	return s.open()
}

func write(dir *os.Root, name string, data []byte) error {
	f, err := dir.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// syncDir has a change of names reach the disk, where the filesystem can.
func syncDir(dir *os.Root) error {
	f, err := dir.Open(".")
	if err != nil {
		return err
	}
	defer f.Close()
	if err := f.Sync(); err != nil && !errors.Is(err, unix.EINVAL) {
		return err
	}
	return nil
}

// tidy takes away, once, what processes that were killed have left half written.
func (s *Store) tidy(dir *os.Root) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.tidied {
		return
	}
	s.tidied = true
	entries, err := fs.ReadDir(dir.FS(), ".")
	if err != nil {
		return
	}
	for _, e := range entries {
		if info, err := e.Info(); err == nil && strings.Contains(e.Name(), tempMark) && time.Since(info.ModTime()) > leftover {
			_ = dir.Remove(e.Name()) // the next one tries again
		}
	}
}
