package mount

import (
	"errors"
	"fmt"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// errCovered: umount(2) takes a path, which leads to what is on top; so does
// one through /proc/self/fd.
var errCovered = errors.New("something else is mounted on top of it")

// A mounted filesystem, as the holder keeps it.
type mounted struct {
	dir string
	dev *os.File
	// clone is a detached, writable clone of the mount (system mounts only):
	// through it rotation touches files while the visible mount is read-only,
	// and the canary asks for statfs whatever is mounted on top.
	clone *os.File
	// parent is the directory that dir is in (system mounts only).
	parent *os.File
	agreed Negotiated
	system bool
	id     int // of the mount, as mountinfo has it
}

// mountSystem mounts by mount(2)'s successors, without fusermount; it takes
// CAP_SYS_ADMIN. The superblock is read-only, which saves a GETATTR for every
// read that would update atime.
func mountSystem(dir string) (*mounted, error) {
	dev, err := os.OpenFile("/dev/fuse", os.O_RDWR, 0)
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENODEV) {
		return nil, fmt.Errorf("opening /dev/fuse: %w: load the kernel module fuse, or give the container the device", unix.ENOENT)
	}
	if err != nil {
		return nil, fmt.Errorf("opening /dev/fuse: %w", err)
	}
	parent, err := openParent(dir)
	if err != nil {
		dev.Close()
		return nil, fmt.Errorf("mounting %s: %w", dir, err)
	}
	m := &mounted{dir: dir, dev: dev, parent: parent, system: true}
	if err := m.attach(); err != nil {
		m.close()
		return nil, fmt.Errorf("mounting %s: %w", dir, err)
	}
	if m.agreed, err = negotiate(dev, true); err != nil {
		m.unmount(true)
		return nil, err
	}
	return m, nil
}

func (m *mounted) attach() error {
	ctx, err := unix.Fsopen("fuse", unix.FSOPEN_CLOEXEC)
	if err != nil {
		return fmt.Errorf("fsopen: %w", err)
	}
	defer unix.Close(ctx)
	for _, option := range [][2]string{
		{"source", "secretfs"},
		{"subtype", "secretfs"},
		{"fd", strconv.Itoa(int(m.dev.Fd()))},
		{"rootmode", "40000"},
		{"user_id", strconv.Itoa(os.Geteuid())},
		{"group_id", strconv.Itoa(os.Getegid())},
	} {
		if err := unix.FsconfigSetString(ctx, option[0], option[1]); err != nil {
			return fmt.Errorf("setting %s: %w", option[0], err)
		}
	}
	for _, flag := range []string{"allow_other", "ro"} {
		if err := unix.FsconfigSetFlag(ctx, flag); err != nil {
			return fmt.Errorf("setting %s: %w", flag, err)
		}
	}
	if err := unix.FsconfigCreate(ctx); err != nil {
		return fmt.Errorf("creating the superblock: %w", err)
	}
	fd, err := unix.Fsmount(ctx, unix.FSMOUNT_CLOEXEC, unix.MOUNT_ATTR_RDONLY|unix.MOUNT_ATTR_NOSUID|unix.MOUNT_ATTR_NODEV)
	if err != nil {
		return fmt.Errorf("fsmount: %w", err)
	}
	defer unix.Close(fd)
	if err := unix.MoveMount(fd, "", unix.AT_FDCWD, m.dir, unix.MOVE_MOUNT_F_EMPTY_PATH); err != nil {
		return fmt.Errorf("attaching the mount: %w", err)
	}
	if m.clone, err = writableClone(fd); err != nil {
		m.unmount(true)
	}
	return err
}

// writableClone makes a detached clone of a read-only mount that is not.
func writableClone(fd int) (*os.File, error) {
	clone, err := unix.OpenTree(fd, "", unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|unix.AT_EMPTY_PATH)
	if err != nil {
		return nil, fmt.Errorf("cloning the mount: %w", err)
	}
	attr := unix.MountAttr{Attr_clr: unix.MOUNT_ATTR_RDONLY}
	if err := unix.MountSetattr(clone, "", unix.AT_EMPTY_PATH, &attr); err != nil {
		unix.Close(clone)
		return nil, fmt.Errorf("making the clone of the mount writable: %w", err)
	}
	return os.NewFile(uintptr(clone), "secretfs-clone"), nil
}

// unmount takes the mount out of the tree. With lazy set, a busy mount is
// detached and goes when its last user does.
func (m *mounted) unmount(lazy bool) error {
	switch {
	case m.id == 0: // being made
	case !m.present():
		return nil // whatever lies there now is somebody else's
	case m.covered() && m.system && lazy:
		return m.unmountBelow()
	case m.covered():
		return errCovered
	}
	if !m.system {
		return fusermount(m.dir, lazy)
	}
	flags := unix.UMOUNT_NOFOLLOW
	if lazy {
		flags |= unix.MNT_DETACH
	}
	err := unix.Unmount(m.way(), flags)
	if errors.Is(err, unix.EINVAL) {
		return nil // somebody else has unmounted it
	}
	return err
}

// abort ends the connection: whoever waits gets ECONNABORTED. umount2 with
// MNT_FORCE does so although it answers EBUSY, and needs no fusectl.
func (m *mounted) abort() {
	if m.system && !m.covered() {
		_ = unix.Unmount(m.way(), unix.MNT_FORCE)
	}
	_ = m.unmount(true) // where it was covered, the end of all descriptors aborts
}

func (m *mounted) close() {
	for _, f := range []*os.File{m.clone, m.parent} {
		if f != nil {
			f.Close()
		}
	}
	m.dev.Close()
}
