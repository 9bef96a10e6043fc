package age

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/secretfs/secretfs/backend"
)

// maxFile bounds an encrypted file: it is read whole, and its plaintext is locked
// in memory.
const maxFile = 64 << 20

// A stamp tells two states of a file apart. The zero stamp equals that of no
// file.
type stamp struct {
	Dev, Ino     uint64
	Size         int64
	Mtime, Ctime unix.Timespec
}

func stampOf(st *unix.Stat_t) stamp {
	return stamp{st.Dev, st.Ino, st.Size, st.Mtim, st.Ctim}
}

// settled says that a later change would show in the stamp: clocks of
// filesystems go by ticks.
func (s stamp) settled(now time.Time) bool {
	const tick = 100 * time.Millisecond
	return now.Sub(time.Unix(s.Ctime.Unix())).Abs() > tick
}

// stampAt is the stamp of what path leads to, zero if nothing can be told.
func stampAt(path string) stamp {
	var st unix.Stat_t
	if unix.Stat(path, &st) != nil {
		return stamp{}
	}
	return stampOf(&st)
}

// read reads a file. It neither waits for a FIFO nor touches a device. The stamp
// is zero where the file may have changed meanwhile.
func read(path string) ([]byte, stamp, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY, 0)
	if err != nil {
		return nil, stamp{}, unreadable(err)
	}
	defer f.Close()
	var before, after unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &before); err != nil {
		return nil, stamp{}, unreadable(err)
	}
	switch {
	case before.Mode&unix.S_IFMT != unix.S_IFREG:
		return nil, stamp{}, fmt.Errorf("it is no regular file: %w", backend.ErrUnsupported)
	case before.Size > maxFile:
		return nil, stamp{}, fmt.Errorf("it has %d bytes, expected at most %d: %w", before.Size, maxFile, backend.ErrUnsupported)
	}
	now := time.Now()
	file := make([]byte, before.Size)
	n, err := io.ReadFull(f, file)
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.EOF) {
		return nil, stamp{}, unreadable(err)
	}
	s := stampOf(&before)
	if unix.Fstat(int(f.Fd()), &after) != nil || stampOf(&after) != s || !s.settled(now) {
		s = stamp{}
	}
	return file[:n], s, nil
}

// unreadable says why in a sentence that the caller begins with the path.
func unreadable(err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, unix.ENOTDIR):
		return fmt.Errorf("there is no such file: %w", backend.ErrNotFound)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("no permission to read the file: %w", backend.ErrUnavailable)
	}
	if in, ok := errors.AsType[*fs.PathError](err); ok {
		err = in.Err
	}
	return fmt.Errorf("%w: %w", err, backend.ErrUnavailable)
}
