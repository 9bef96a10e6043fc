package beneath

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"golang.org/x/sys/unix"

	"github.com/secretfs/secretfs/backend"
	"github.com/secretfs/secretfs/backend/secret"
)

// MaxFile is how long a file may be: it is read whole, into locked memory.
const MaxFile = 64 << 20

// A Stamp tells two states of a file apart. The zero Stamp says nothing.
type Stamp struct {
	Dev, Ino     uint64
	Size         int64
	Mtime, Ctime unix.Timespec
}

func stampOf(st *unix.Stat_t) Stamp {
	return Stamp{st.Dev, st.Ino, st.Size, st.Mtim, st.Ctim}
}

// settled says that a later change would show in the stamp: clocks of
// filesystems go by ticks.
func (s Stamp) settled(now time.Time) bool {
	const tick = 100 * time.Millisecond
	return now.Sub(time.Unix(s.Ctime.Unix())).Abs() > tick
}

// A File is the content of a file.
type File struct {
	Value *secret.Value
	Stamp Stamp // zero where the content may have changed without its showing
}

// Read reads the file called name; see Dir.Stat for the errors. The caller destroys
// the Value.
func (d *Dir) Read(ctx context.Context, name string) (File, error) {
	f, err := aside(ctx, d, func() (File, error) { return d.read(name) }, func(f File) { f.Value.Destroy() })
	return f, d.named(name, err)
}

// read neither waits for a FIFO nor touches a device: what is there is looked at
// before it is opened.
func (d *Dir) read(name string) (File, error) {
	at, err := d.open(name, unix.O_PATH)
	if err != nil {
		return File{}, err
	}
	info, err := infoOf(at)
	at.Close()
	switch {
	case err != nil:
		return File{}, err
	case info.Dir:
		return File{}, fmt.Errorf("it is a directory: %w", backend.ErrNotFound)
	case info.Size > MaxFile:
		return File{}, fmt.Errorf("it has %d bytes, expected at most %d: %w", info.Size, MaxFile, backend.ErrUnsupported)
	}
	d.found(name)
	f, err := d.open(name, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY)
	if err != nil {
		return File{}, err
	}
	defer f.Close()
	if info, err = infoOf(f); err != nil || info.Size > MaxFile {
		return File{}, fmt.Errorf("it was replaced while it was read: %w", backend.ErrUnavailable)
	}
	v, err := secret.New(int(info.Size))
	if err != nil {
		return File{}, fmt.Errorf("%w: %w", err, backend.ErrUnavailable)
	}
	now := time.Now()
	n, err := io.ReadFull(f, v.Bytes())
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.EOF) {
		v.Destroy()
		return File{}, unreadable(err)
	}
	if after, err := infoOf(f); err != nil || after.Stamp != info.Stamp || !info.Stamp.settled(now) {
		info.Stamp = Stamp{}
	}
	if n < v.Len() {
		return cut(v, n)
	}
	return File{v, info.Stamp}, nil
}

// cut is for a file that became shorter.
func cut(v *secret.Value, n int) (File, error) {
	defer v.Destroy()
	short, err := secret.New(n)
	if err != nil {
		return File{}, fmt.Errorf("%w: %w", err, backend.ErrUnavailable)
	}
	copy(short.Bytes(), v.Bytes())
	return File{Value: short}, nil
}
