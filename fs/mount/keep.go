package mount

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
)

// Keep has f held for the next worker under name, in place of what was held
// there; nil holds nothing.
func (l *Link) Keep(name string, f *os.File) error {
	var files []*os.File
	if f != nil {
		files = append(files, f)
	}
	l.escrow.keep(name, f)
	_, err := l.call(opKeep, named{Name: name}, nil, files...)
	if errors.Is(err, ErrNoHolder) {
		return nil
	}
	return err
}

// Kept gives back what is held under name, or nil.
func (l *Link) Kept(name string) (*os.File, error) {
	files, err := l.call(opKept, named{Name: name}, nil)
	if errors.Is(err, ErrNoHolder) {
		return l.escrow.keptFile(name), nil
	}
	if err != nil || len(files) == 0 {
		return nil, err
	}
	l.escrow.keep(name, files[0])
	return files[0], nil
}

// KeepBytes is Keep for what is not secret.
func (l *Link) KeepBytes(name string, b []byte) error {
	f, err := inMemory(name, b)
	if err != nil {
		return err
	}
	defer f.Close()
	return l.Keep(name, f)
}

// KeptBytes gives back what KeepBytes was given. The error wraps
// fs.ErrNotExist if that was nothing.
func (l *Link) KeptBytes(name string) ([]byte, error) {
	f, err := l.Kept(name)
	if err != nil {
		return nil, err
	}
	if f == nil {
		return nil, fmt.Errorf("taking over %s: %w", name, fs.ErrNotExist)
	}
	defer f.Close()
	return readAll(f)
}
