package audit

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"
)

// followEvery is how often Follow looks for more.
const followEvery = 200 * time.Millisecond

// Follow calls fn for each record that passes and is written from now on, as
// `tail -F` does: over rotations, and also where the file does not exist yet. It
// returns nil when ctx ends.
func Follow(ctx context.Context, f Filter, file string, fn func(Record) error) error {
	var follower follower
	defer follower.close()
	if err := follower.open(file); err == nil {
		if _, err := follower.f.Seek(0, io.SeekEnd); err != nil {
			return fmt.Errorf("following audit log: %w", err)
		}
	}
	tick := time.NewTicker(followEvery)
	defer tick.Stop()
	for {
		if err := follower.catchUp(file, func(line []byte) error { return pass(f, line, fn) }); err != nil {
			return fmt.Errorf("following audit log: %w", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

type follower struct {
	f       *os.File // nil while there is none
	br      *bufio.Reader
	partial []byte // of a line whose end is not written yet
}

func (w *follower) open(file string) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	w.close()
	*w = follower{f: f, br: bufio.NewReader(f)}
	return nil
}

func (w *follower) close() {
	if w.f != nil {
		_ = w.f.Close()
	}
}

// catchUp reads to the end, and goes over to the next file after a rotation.
func (w *follower) catchUp(file string, fn func([]byte) error) error {
	for {
		// Looked at before reading, so that nothing written to the old file
		// before the writer moved on is missed.
		moved, err := w.moved(file)
		if err != nil {
			return err
		}
		if w.f != nil {
			if err := w.drain(fn); err != nil {
				return err
			}
		}
		if !moved {
			return nil
		}
		if err := w.open(file); err != nil {
			if errors.Is(err, fs.ErrNotExist) {
				return nil
			}
			return err
		}
	}
}

func (w *follower) drain(fn func([]byte) error) error {
	for {
		part, err := w.br.ReadBytes('\n')
		w.partial = append(w.partial, part...)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := fn(bytes.TrimSuffix(w.partial, []byte("\n"))); err != nil {
			return err
		}
		w.partial = w.partial[:0]
	}
}

// moved says whether the writer has moved on to another file at the path, which
// shows by its having content (logrotate may make it empty, a while before), or
// the same file was cut.
func (w *follower) moved(file string) (bool, error) {
	if w.f == nil {
		return true, nil
	}
	mine, err := w.f.Stat()
	if err != nil {
		return false, err
	}
	offset, err := w.f.Seek(0, io.SeekCurrent)
	if err != nil {
		return false, err
	}
	there, err := os.Stat(file)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil // renamed away, and the next one not made yet
	}
	if err != nil {
		return false, err
	}
	return !os.SameFile(mine, there) && there.Size() > 0 || mine.Size() < offset, nil
}
