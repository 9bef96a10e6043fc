package mount

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// claim makes sure that dir is a directory that nobody else serves: it is made
// if missing, a dead mount that an earlier daemon left on it is taken away, and
// a live one is refused. The lock on the directory underneath keeps a second
// daemon out between here and the mount.
func claim(dir string) (*os.File, error) {
	if err := clear(dir); err != nil {
		return nil, err
	}
	if err := ensureDirectory(dir); err != nil {
		return nil, err
	}
	lock, err := os.OpenFile(dir, os.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return nil, fmt.Errorf("opening the mount point: %w", err)
	}
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		lock.Close()
		return nil, fmt.Errorf("mounting %s: another secretfs is about to mount there", dir)
	}
	return lock, nil
}

// ensureDirectory makes dir if it is missing, and refuses what is no directory:
// the mount would lie elsewhere than the policy says.
func ensureDirectory(dir string) error {
	info, err := os.Lstat(dir)
	switch {
	case err != nil:
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return fmt.Errorf("making the mount point: %w", err)
		}
	case info.Mode()&os.ModeSymlink != 0:
		target, _ := os.Readlink(dir)
		return fmt.Errorf("mounting %s: it is a symlink to %s (sops-nix leaves one): remove it, or mount there", dir, target)
	case !info.IsDir():
		return fmt.Errorf("mounting %s: it is a file, expected a directory", dir)
	}
	if real, err := filepath.EvalSymlinks(dir); err == nil && real != dir {
		return fmt.Errorf("mounting %s: the way there leads through a symlink: mount at %s", dir, real)
	}
	return nil
}

// hides says that dir holds something that a mount on it takes out of sight.
func hides(dir *os.File) bool {
	names, err := dir.Readdirnames(1)
	return err == nil && len(names) > 0
}

// clear takes dead mounts of ours off dir.
func clear(dir string) error {
	for range 16 { // stacked ones, one by one
		top, ok, err := topMount(dir)
		if err != nil {
			return fmt.Errorf("reading the mount table: %w", err)
		}
		if !ok || top.kind != fsType {
			return nil
		}
		if err := dead(dir); err != nil {
			return err
		}
		if err := detach(dir); err != nil {
			return fmt.Errorf("taking the dead mount off %s: %w", dir, err)
		}
	}
	return fmt.Errorf("mounting %s: more than 16 dead mounts lie on it", dir)
}

// dead returns nil if the connection behind dir is gone, and else who stands
// in the way.
func dead(dir string) error {
	result := make(chan error, 1)
	go func() {
		var s unix.Statfs_t
		result <- unix.Statfs(dir, &s)
	}()
	select {
	case err := <-result:
		if errors.Is(err, unix.ENOTCONN) || errors.Is(err, unix.ECONNABORTED) {
			return nil
		}
		return fmt.Errorf("mounting %s: another secretfs serves it; end that one first (secretfs umount --policy FILE)", dir)
	case <-time.After(heartbeatDefault):
		return fmt.Errorf("mounting %s: another secretfs holds it and does not answer; end that process, or abort it with umount -f -l %s", dir, dir)
	}
}

func detach(dir string) error {
	if os.Geteuid() != 0 {
		return fusermount(dir, true)
	}
	return unix.Unmount(dir, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW)
}
