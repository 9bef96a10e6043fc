package mount

import (
	"errors"
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// backingMap is struct fuse_backing_map (linux/fuse.h).
type backingMap struct {
	fd      int32
	flags   uint32
	padding uint64
}

// registerBacking makes f one that the kernel may read from by itself, and
// returns its id. It takes CAP_SYS_ADMIN. The kernel keeps its own reference.
func registerBacking(dev, f *os.File) (int32, error) {
	m := backingMap{fd: int32(f.Fd())}
	id, _, errno := unix.Syscall(unix.SYS_IOCTL, dev.Fd(), iocBackingOpen, uintptr(unsafe.Pointer(&m)))
	if errno != 0 {
		return 0, fmt.Errorf("registering a backing file: %w", errno)
	}
	return int32(id), nil
}

// dropBacking forgets a backing file. Handles that are open on it read on.
func dropBacking(dev *os.File, id int32) error {
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, dev.Fd(), iocBackingClose, uintptr(unsafe.Pointer(&id)))
	if errno != 0 && !errors.Is(errno, unix.ENOENT) {
		return fmt.Errorf("dropping backing file %d: %w", id, errno)
	}
	return nil
}

// newStore makes the detached, unswappable filesystem that backing files lie
// in, and snapshots where there is no memfd_secret(2): a tmpfs with noswap
// (Linux 6.4), else a ramfs. As backing file of passthrough a ramfs would give
// EIO to readers that use O_DIRECT, but kernels with passthrough have noswap
// too. It is attached nowhere, so that no path leads to it.
func newStore() (*os.File, error) {
	options := [][2]string{{"size", "512m"}, {"nr_inodes", "1m"}, {"mode", "0700"}}
	fd, err := detached("tmpfs", options, "noswap")
	if err != nil {
		if fd, err = detached("ramfs", [][2]string{{"mode", "0700"}}); err != nil {
			return nil, fmt.Errorf("making the filesystem for backing files: %w", err)
		}
	}
	return os.NewFile(uintptr(fd), "secretfs-store"), nil
}

func detached(kind string, options [][2]string, flags ...string) (int, error) {
	ctx, err := unix.Fsopen(kind, unix.FSOPEN_CLOEXEC)
	if err != nil {
		return -1, err
	}
	defer unix.Close(ctx)
	for _, o := range options {
		if err := unix.FsconfigSetString(ctx, o[0], o[1]); err != nil {
			return -1, err
		}
	}
	for _, f := range flags {
		if err := unix.FsconfigSetFlag(ctx, f); err != nil {
			return -1, err
		}
	}
	if err := unix.FsconfigCreate(ctx); err != nil {
		return -1, err
	}
	return unix.Fsmount(ctx, unix.FSMOUNT_CLOEXEC, unix.MOUNT_ATTR_NOSUID|unix.MOUNT_ATTR_NODEV|unix.MOUNT_ATTR_NOEXEC)
}
