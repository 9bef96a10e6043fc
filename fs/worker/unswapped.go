package worker

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"github.com/secretfs/secretfs/backend/secret"
)

// unswapped puts a copy of v into a file that is never swapped, for the next
// worker: a memfd_secret, or, where there is none (old kernels, containers whose
// filter knows no such call), a file without a name on the detached tmpfs of a
// system mount. A user mount has no other place.
func (w *worker) unswapped(name string, v *secret.Value) (*os.File, error) {
	fd, err := secret.Memfd(v)
	if err == nil {
		return os.NewFile(uintptr(fd), name), nil
	}
	if !errors.Is(err, secret.ErrUnsupported) {
		return nil, err
	}
	select {
	case <-w.gated: // inherited is set
	default:
		return nil, err
	}
	if w.inherited.Store == nil {
		return nil, err
	}
	return tmpfile(w.inherited.Store, name, v.Bytes())
}

func tmpfile(dir *os.File, name string, b []byte) (*os.File, error) {
	fd, err := unix.Openat(int(dir.Fd()), ".", unix.O_TMPFILE|unix.O_RDWR|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return nil, fmt.Errorf("keeping %s: %w", name, os.NewSyscallError("openat", err))
	}
	f := os.NewFile(uintptr(fd), name)
	if _, err := f.Write(b); err != nil {
		f.Close()
		return nil, fmt.Errorf("keeping %s: %w", name, err)
	}
	return f, nil
}
