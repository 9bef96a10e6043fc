package audit

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

type fileID struct{ dev, ino uint64 }

func (l *Log) stat() (st unix.Stat_t, err error) {
	err = unix.Fstat(int(l.f.Fd()), &st)
	return st, err
}

// prepare sees to it that f is the file at the path, and that size and head are
// those of its end. Called with mu held, like all below.
func (l *Log) prepare(now time.Time) error {
	if l.closed {
		return fmt.Errorf("writing audit log %s: %w", l.cfg.File, os.ErrClosed)
	}
	if l.f == nil {
		return l.open()
	}
	if now.Sub(l.looked) >= lookEvery {
		l.looked = now
		if !l.inPlace() {
			if err := l.open(); err != nil && now.Sub(l.said) >= sayEvery {
				l.said = now
				l.notes = append(l.notes, fmt.Errorf("writing on into the renamed file: %w", err))
			}
		}
	}
	st, err := l.stat()
	switch {
	case err != nil:
		return fmt.Errorf("looking at audit log %s: %w", l.cfg.File, err)
	case st.Nlink == 0: // a record in a removed file is none
		return l.open()
	case st.Size != l.size:
		return l.resume(st.Size)
	}
	return nil
}

func (l *Log) inPlace() bool {
	var st unix.Stat_t
	return unix.Stat(l.cfg.File, &st) == nil && l.id == fileID{st.Dev, st.Ino}
}

// open puts the file at the path in the place of f.
func (l *Log) open() error {
	f, id, err := openFile(l.cfg.File)
	if err != nil {
		return err
	}
	t, err := l.whole(f)
	if err != nil {
		_ = f.Close()
		return err
	}
	old := l.head
	l.head = l.after(t)
	if l.f != nil {
		if err := l.release(); err != nil {
			l.notes = append(l.notes, err)
		}
		if err := writeHead(l.cfg.File, old); err != nil {
			l.notes = append(l.notes, fmt.Errorf("keeping the end of the audit chain: %w", err))
		}
	}
	l.f, l.id, l.size = f, id, t.size
	return nil
}

// resume goes on after somebody else changed the file.
func (l *Log) resume(size int64) error {
	t, err := l.whole(l.f)
	if err != nil {
		return err
	}
	if size < l.size {
		l.notes = append(l.notes, fmt.Errorf("audit log %s was shortened by somebody, from %d bytes to %d", l.cfg.File, l.size, size))
	}
	l.head, l.size = l.after(t), t.size
	return nil
}

// after is the head to chain to: the line that stands before in this file, or
// else the last one anywhere. Sequence numbers never go back.
func (l *Log) after(t tail) Head {
	head := l.head
	if head.Seq == 0 && t.head.Seq == 0 {
		last, err := lastHead(l.cfg.File)
		if err != nil {
			l.notes = append(l.notes, fmt.Errorf("finding the end of the audit chain of %s: %w", l.cfg.File, err))
		}
		head = last
	}
	if t.head.Hash != "" {
		head.Hash = t.head.Hash
	}
	head.Seq = max(head.Seq, t.head.Seq)
	return head
}

// release closes f, whose lines are on disk then unless Sync is none.
func (l *Log) release() error {
	if l.f == nil {
		return nil
	}
	var err error
	if l.cfg.Sync != SyncNone {
		from := l.sync.reached()
		err = l.f.Sync()
		l.sync.ended(from, l.head.Seq, err)
	}
	err = errors.Join(err, l.f.Close())
	l.f = nil
	if err != nil {
		return fmt.Errorf("closing audit log %s: %w", l.cfg.File, err)
	}
	return nil
}

func openFile(file string) (*os.File, fileID, error) {
	f, err := create(file)
	if err != nil {
		return nil, fileID{}, fmt.Errorf("opening audit log: %w", err)
	}
	var st unix.Stat_t
	err = unix.Fstat(int(f.Fd()), &st)
	if err == nil && st.Mode&unix.S_IFMT != unix.S_IFREG {
		err = errors.New("not a regular file")
	}
	if err != nil {
		_ = f.Close()
		return nil, fileID{}, fmt.Errorf("opening audit log %s: %w", file, err)
	}
	return f, fileID{st.Dev, st.Ino}, nil
}

// create opens file, and makes it and its folder if they are missing. The mode
// of a file that exists is its administrator's choice.
func create(file string) (*os.File, error) {
	// Without O_NONBLOCK a FIFO would hang.
	const flags = os.O_RDWR | os.O_APPEND | unix.O_NONBLOCK
	f, err := os.OpenFile(file, flags, 0)
	if !errors.Is(err, fs.ErrNotExist) {
		return f, err
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		return nil, err
	}
	if f, err = os.OpenFile(file, flags|os.O_CREATE, 0o600); err != nil {
		return nil, err
	}
	syncDir(filepath.Dir(file))
	return f, nil
}

// syncDir keeps a new file's name over a power cut. Best effort: not every
// filesystem can.
func syncDir(dir string) {
	if d, err := os.Open(dir); err == nil {
		_ = d.Sync()
		_ = d.Close()
	}
}

const tornSuffix = ".torn-"

// whole reads the end of f. What stands after the last newline is a line that a
// power cut or a kill has torn, and is moved to a file of its own.
func (l *Log) whole(f *os.File) (tail, error) {
	t, err := readTail(f)
	if err != nil || t.torn == 0 {
		return t, err
	}
	aside := l.cfg.File + tornSuffix + time.Now().UTC().Format("20060102T150405.000000000Z")
	if err := copyOut(io.NewSectionReader(f, t.size, t.torn), aside); err != nil {
		return t, fmt.Errorf("setting aside a torn line of audit log %s: %w", l.cfg.File, err)
	}
	l.notes = append(l.notes, fmt.Errorf("audit log %s ended in a torn line of %d bytes, which is now in %s", l.cfg.File, t.torn, aside))
	if f.Truncate(t.size) == nil {
		t.torn = 0
		return t, nil
	}
	// A file with chattr +a cannot be shortened: the torn line stays, as a line.
	if _, err := f.WriteString("\n"); err != nil {
		return t, fmt.Errorf("ending a torn line of audit log %s: %w", l.cfg.File, err)
	}
	return readTail(f)
}

func copyOut(src io.Reader, file string) error {
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, src)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		_ = os.Remove(file)
	}
	return err
}
