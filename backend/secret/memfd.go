package secret

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// Memfd puts a copy of v into a memfd_secret(2) file, for a secret that must
// outlive the process: the descriptor is handed to another one with SCM_RIGHTS,
// and MapFD maps it there. The caller closes it. The pages are wiped by the
// kernel when the last descriptor and mapping are gone. Where the kernel has no
// such files the error is ErrUnsupported; memfd_create(2) would be no
// replacement, its pages can be swapped.
func Memfd(v *Value) (int, error) {
	src := v.Bytes()
	if src == nil {
		return -1, errors.New("making a secret file: the value is destroyed")
	}
	size := pageCeil(max(len(src), 1))
	fd, err := memfdSecret(size)
	if err != nil {
		return -1, fmt.Errorf("making a secret file: %w", err)
	}
	mem, err := unix.Mmap(fd, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		_ = unix.Close(fd)
		return -1, fmt.Errorf("making a secret file of %d bytes: %w", size, limitError(err))
	}
	copy(mem, src)
	// The pages live on in the file.
	return fd, os.NewSyscallError("munmap", unix.Munmap(mem))
}

// MapFD maps the first n bytes of a file made by Memfd, for reading only: a
// write to Bytes is a fault. It neither takes nor closes fd. Destroy unmaps and
// does not wipe, because the file is not this Value's own.
func MapFD(fd, n int) (*Value, error) {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return nil, fmt.Errorf("mapping a secret file: %w", os.NewSyscallError("fstat", err))
	}
	// Beyond the end of the file a read would be SIGBUS.
	if n < 0 || int64(n) > st.Size {
		return nil, fmt.Errorf("mapping a secret file: %d bytes wanted, it has %d", n, st.Size)
	}
	size := pageCeil(max(n, 1))
	mem, err := unix.Mmap(fd, 0, size, unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		return nil, fmt.Errorf("mapping a secret file of %d bytes: %w", size, limitError(err))
	}
	mapped.Add(int64(size))
	c := newChunk(mem, n, nil)
	c.readOnly = true
	return hold(c), nil
}
