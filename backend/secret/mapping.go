package secret

import (
	"errors"
	"fmt"
	"os"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// ErrLimit: locking more memory is not allowed by RLIMIT_MEMLOCK.
var ErrLimit = errors.New("limit on locked memory reached (RLIMIT_MEMLOCK; systemd: LimitMEMLOCK=)")

// ErrUnsupported: the kernel has no memfd_secret(2), or it is switched off.
var ErrUnsupported = errors.New("memfd_secret is not supported by this kernel")

// noMemfd is set once the kernel has said that it has no memfd_secret(2).
var noMemfd atomic.Bool

// mapLocked maps at least n zero bytes that are neither swapped nor dumped.
func mapLocked(n int) ([]byte, error) {
	size := pageCeil(n)
	mem, err := mapSecret(size)
	if errors.Is(err, ErrUnsupported) {
		mem, err = mapAnonymous(size)
	}
	if err != nil {
		return nil, fmt.Errorf("locking %d bytes of memory for secrets: %w", size, err)
	}
	// Only a plain fork(2) would copy the pages; Go's vfork does not.
	_ = unix.Madvise(mem, unix.MADV_DONTFORK)
	mapped.Add(int64(size))
	return mem, nil
}

func mapSecret(size int) ([]byte, error) {
	fd, err := memfdSecret(size)
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	mem, err := unix.Mmap(fd, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return nil, limitError(err)
	}
	return mem, nil
}

// memfdSecret makes an empty secret file of size bytes. The size of such a file
// can be set only once (mm/secretmem.c).
func memfdSecret(size int) (int, error) {
	if noMemfd.Load() {
		return -1, ErrUnsupported
	}
	fd, err := unix.MemfdSecret(unix.O_CLOEXEC)
	if errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.EPERM) { // EPERM: a seccomp filter
		noMemfd.Store(true)
		return -1, ErrUnsupported
	}
	if err != nil {
		return -1, os.NewSyscallError("memfd_secret", err)
	}
	if err := unix.Ftruncate(fd, int64(size)); err != nil {
		_ = unix.Close(fd)
		return -1, os.NewSyscallError("ftruncate", err)
	}
	return fd, nil
}

func mapAnonymous(size int) ([]byte, error) {
	mem, err := unix.Mmap(-1, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	if err != nil {
		return nil, limitError(err)
	}
	if err := unix.Mlock(mem); err != nil {
		_ = unix.Munmap(mem)
		return nil, limitError(err)
	}
	if err := unix.Madvise(mem, unix.MADV_DONTDUMP); err != nil {
		_ = unix.Munmap(mem)
		return nil, os.NewSyscallError("madvise", err)
	}
	return mem, nil
}

// limitError tells the limit from other causes: mmap(2) says EAGAIN, mlock(2)
// EPERM (limit 0), ENOMEM or EAGAIN.
func limitError(err error) error {
	var lim unix.Rlimit
	limited := errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.ENOMEM) || errors.Is(err, unix.EPERM)
	if limited && unix.Getrlimit(unix.RLIMIT_MEMLOCK, &lim) == nil && lim.Cur != unix.RLIM_INFINITY {
		return fmt.Errorf("%w: limit %d bytes, %d already used by secrets: %w", ErrLimit, lim.Cur, mapped.Load(), err)
	}
	return fmt.Errorf("mapping memory: %w", err)
}

func unmapLocked(mem []byte) {
	mapped.Add(-int64(len(mem)))
	if err := unix.Munmap(mem); err != nil {
		// Not even a bug in the slabs may go unnoticed: plaintext would stay.
		panic("unmapping secret memory: " + err.Error())
	}
}

func pageCeil(n int) int {
	page := os.Getpagesize()
	return (n + page - 1) / page * page
}
