package mount

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// unmountBelow takes the mount away from under whatever is mounted on top of it,
// which stays. What is on top belongs to our mount's root, and would go with it:
// it is taken off, and put back as a clone on the bare directory. Open files on
// it stay open. (move_mount(2) would keep the very mount, but refuses where
// mounts propagate.)
func (m *mounted) unmountBelow() error {
	covers, err := m.uncover()
	if err == nil {
		err = unix.Unmount(m.way(), unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW)
	}
	for i := len(covers) - 1; i >= 0; i-- {
		back := unix.MoveMount(covers[i], "", unix.AT_FDCWD, m.way(), unix.MOVE_MOUNT_F_EMPTY_PATH)
		if back != nil {
			err = errors.Join(err, fmt.Errorf("putting back what was mounted on top: %w", back))
		}
		unix.Close(covers[i])
	}
	return err
}

// uncover takes off what is on top, and returns detached clones of it, the
// topmost first.
func (m *mounted) uncover() (covers []int, err error) {
	for m.covered() {
		fd, err := unix.OpenTree(unix.AT_FDCWD, m.way(), unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|unix.AT_RECURSIVE)
		if err != nil {
			return covers, fmt.Errorf("cloning what is mounted on top: %w", err)
		}
		if err := unix.Unmount(m.way(), unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW); err != nil {
			unix.Close(fd)
			return covers, fmt.Errorf("taking off what is mounted on top: %w", err)
		}
		covers = append(covers, fd)
	}
	return covers, nil
}
