package mount

import (
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// openParent opens the directory that the mount point is in, before anything is
// mounted on it or above: through it umount(2), which takes a path, still finds
// the mount then.
func openParent(dir string) (*os.File, error) {
	return os.OpenFile(filepath.Dir(dir), unix.O_PATH|unix.O_DIRECTORY, 0)
}

// findParent is openParent for a mount that is there. It returns nil if the way
// there is hidden already.
func (m *mounted) findParent() *os.File {
	parent, err := openParent(m.dir)
	if err != nil {
		return nil
	}
	m.parent = parent
	if id, err := leadsTo(m.way()); err == nil && m.above(id) {
		return parent
	}
	parent.Close()
	return nil
}

// way is a path to the mount, or to what is mounted on it. It is the calling
// thread's: the first one of the process, which /proc/self stands for, may have
// been the one that asked aside, and has no descriptors then.
func (m *mounted) way() string {
	if m.parent == nil {
		return m.dir
	}
	return fmt.Sprintf("/proc/thread-self/fd/%d/%s", m.parent.Fd(), filepath.Base(m.dir))
}

// above says whether a mount is ours or lies, with others between or not, on
// our root.
func (m *mounted) above(id int) bool {
	for _, e := range m.stack() {
		if e.id == id {
			return true
		}
	}
	return false
}

// stack is the mount and what is mounted on its root, the topmost last. It is
// empty when the mount has gone.
func (m *mounted) stack() (stack []mountEntry) {
	entries, err := readMounts(ownMounts)
	if err != nil {
		return nil
	}
	on := make(map[int]mountEntry)
	var own mountEntry
	for _, e := range entries {
		if e.dir == m.dir {
			on[e.parent] = e
		}
		if e.id == m.id {
			own = e
		}
	}
	for e, ok := own, own.id != 0; ok; e, ok = on[e.id] {
		stack = append(stack, e)
	}
	return stack
}

// leadsTo is the id of the mount that a path leads to; 0 before Linux 5.8, which
// does not tell. It asks for nothing else, which a user's FUSE mount would refuse
// even to root (fs/fuse/dir.c fuse_getattr).
func leadsTo(path string) (id int, err error) {
	var s unix.Statx_t
	err = unix.Statx(unix.AT_FDCWD, path, unix.AT_STATX_DONT_SYNC|unix.AT_SYMLINK_NOFOLLOW|unix.AT_NO_AUTOMOUNT, 0, &s)
	if err != nil || s.Mask&unix.STATX_MNT_ID == 0 {
		return 0, err
	}
	return int(s.Mnt_id), nil
}
