package sops

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/secretfs/secretfs/backend"
)

// maxPipe is how much is read from what has no length of its own.
const maxPipe = 64 << 20

// readFile reads a file whole, and tells what a person can do if it cannot. It
// waits for the writer of a FIFO, and refuses a device, which may never end.
func readFile(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, unreadable(err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, unreadable(err)
	}
	limit := int64(maxPipe)
	switch mode := info.Mode(); {
	case mode.IsRegular():
		limit = maxFile
	case mode.IsDir():
		return nil, fmt.Errorf("it is a directory: %w", backend.ErrUnavailable)
	case mode.Type() != fs.ModeNamedPipe:
		return nil, fmt.Errorf("it is no regular file: %w", backend.ErrUnavailable)
	}
	if info.Size() > limit {
		return nil, errTooLarge
	}
	file := make([]byte, 0, info.Size()+1)
	for n := 0; err == nil; {
		if len(file) == cap(file) {
			file = append(file, 0)[:len(file)]
		}
		n, err = f.Read(file[len(file):cap(file)])
		if file = file[:len(file)+n]; int64(len(file)) > limit {
			return nil, errTooLarge
		}
	}
	switch {
	case !errors.Is(err, io.EOF):
		return nil, unreadable(err)
	case len(file) == 0:
		return nil, fmt.Errorf("the file is empty: %w", backend.ErrCorrupt)
	}
	return file, nil
}

var errTooLarge = fmt.Errorf("the file is too large: %w", backend.ErrUnsupported)

func unreadable(err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("there is no such file: %w", backend.ErrUnavailable)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("no permission to read the file: %w", backend.ErrUnavailable)
	}
	if pathErr := (*fs.PathError)(nil); errors.As(err, &pathErr) {
		err = pathErr.Err // the caller names the file
	}
	return fmt.Errorf("%w: %w", err, backend.ErrUnavailable)
}
