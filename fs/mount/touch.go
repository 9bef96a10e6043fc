package mount

import (
	"fmt"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// handleTouch tells inotify watchers of paths that they have changed. The
// worker is asked for LOOKUP and SETATTR on the way, so only the call's own
// goroutine waits for it.
func (h *Holder) handleTouch(m *message) (answer, error) {
	var r touchRequest
	if err := m.decode(&r); err != nil {
		return answer{}, err
	}
	if h.m.clone == nil {
		return answer{}, fmt.Errorf("touching: not possible on a user's own mount")
	}
	h.touching.Lock()
	defer h.touching.Unlock()
	fd := int(h.m.clone.Fd())
	return answer{}, <-aside(fd, func() error { return touch(fd, r.Paths) })
}

// touch lifts the superblock's read-only flag for some tenths of a millisecond
// and sets the times of paths through the detached clone. The visible mount is
// read-only by its own flag all the while. inotify watchers see IN_ATTRIB on
// the file and on its directory.
func touch(clone int, paths []string) error {
	if err := reconfigure(clone, "rw"); err != nil {
		return fmt.Errorf("lifting the read-only flag: %w", err)
	}
	var first error
	for _, path := range paths {
		path = filepath.Join(".", path) // the root is ""
		err := unix.UtimesNanoAt(clone, path, nil, unix.AT_SYMLINK_NOFOLLOW)
		if err != nil && first == nil && err != unix.ENOENT {
			first = fmt.Errorf("touching %s: %w", path, err)
		}
	}
	if err := reconfigure(clone, "ro"); err != nil {
		return fmt.Errorf("setting the read-only flag again: %w", err)
	}
	return first
}

func reconfigure(clone int, flag string) error {
	fd, err := unix.Fspick(clone, "", unix.FSPICK_CLOEXEC|unix.FSPICK_EMPTY_PATH)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if err := unix.FsconfigSetFlag(fd, flag); err != nil {
		return err
	}
	return unix.FsconfigReconfigure(fd)
}
