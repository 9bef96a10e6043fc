package mount

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// leaveSecretMounts detaches, in this mount namespace, every secretfs mount with
// all that is mounted on it: ours, bind mounts of it, and those of others. Where
// mounts do not propagate, an unmount elsewhere does not reach this namespace,
// which would keep a connection alive that nobody can see any more. Other
// filesystems stay: a key file may lie on one. Those that were made first come
// first, so that no path leads through a mount that waits for us.
func leaveSecretMounts() error {
	entries, err := readMounts(ownMounts)
	if err != nil {
		return err
	}
	return leaveThose(entries, func(mountEntry) bool { return true })
}

// leaveOwnMount is leaveSecretMounts for the mount at dir and bind mounts of it
// only. A helper may read its own credentials from another secretfs.
func leaveOwnMount(dir string) error {
	entries, err := readMounts(ownMounts)
	if err != nil {
		return err
	}
	device := ""
	for _, e := range entries {
		if e.dir == dir && e.kind == fsType {
			device = e.device
		}
	}
	return leaveThose(entries, func(e mountEntry) bool { return e.device == device })
}

func leaveThose(entries []mountEntry, wanted func(mountEntry) bool) error {
	parents := make(map[int]int, len(entries))
	for _, e := range entries {
		parents[e.id] = e.parent
	}
	for _, e := range entries {
		if e.kind != fsType || !wanted(e) {
			continue
		}
		if err := leave(e, parents); err != nil {
			return fmt.Errorf("leaving %s: %w", e.dir, err)
		}
	}
	return nil
}

// leave detaches a mount and what lies on top of it. Its path may have gone with
// another one, or lead elsewhere by now.
func leave(e mountEntry, parents map[int]int) error {
	for isOn(At(e.dir), e.id, parents) {
		err := unix.Unmount(e.dir, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW)
		if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOENT) {
			return nil
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// isOn says whether a mount is another one, or somewhere on it.
func isOn(id, other int, parents map[int]int) bool {
	for range len(parents) {
		if id == other {
			return true
		}
		id = parents[id]
	}
	return false
}

// At is the id of the mount that a path leads to; 0 if there is none.
func At(path string) int {
	id, _ := leadsTo(path)
	return id
}
