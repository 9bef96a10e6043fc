package check

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/secretfs/secretfs/policy"
	"github.com/secretfs/secretfs/policy/conf"
)

// maxSocketPath is what fits into a sockaddr_un with its final zero (unix(7)).
const maxSocketPath = 107

// mountpoint adds what keeps the policy from being mounted and served.
func (r *Report) mountpoint(p *policy.Policy) {
	for _, err := range []error{
		usableMountpoint(p.Mount),
		fuseDevice(),
		usableFolder("the audit log", p.Audit.File),
		usableFolder("the control socket", p.Control),
	} {
		if err != nil {
			r.add(conf.Pos{}, "%v", err)
		}
	}
	if p.KeepsState {
		if err := usableFolder("the state directory", p.State+"/"); err != nil {
			r.add(conf.Pos{}, "%v", err)
		}
	}
	if n := len(p.Control); n > maxSocketPath {
		r.add(conf.Pos{}, "the control socket %s has a path of %d bytes, over %d", p.Control, n, maxSocketPath)
	}
}

func usableMountpoint(dir string) error {
	info, err := os.Lstat(dir)
	switch {
	case errors.Is(err, syscall.ENOTCONN):
		return nil // a dead mount, which mounting takes away
	case errors.Is(err, fs.ErrNotExist):
		return usableFolder("the mountpoint", dir)
	case err != nil:
		return fmt.Errorf("the mountpoint: %w", err)
	case info.Mode().Type() == fs.ModeSymlink:
		return fmt.Errorf("the mountpoint %s is a symlink: remove it, or mount elsewhere", dir)
	case !info.IsDir():
		return fmt.Errorf("the mountpoint %s is not a directory", dir)
	}
	if real, err := filepath.EvalSymlinks(dir); err == nil && real != dir {
		return fmt.Errorf("the way to the mountpoint %s leads through a symlink: mount at %s", dir, real)
	}
	return nil
}

// usableFolder says why path could not be made: the nearest directory above it
// that exists must let us.
func usableFolder(what, path string) error {
	for dir := filepath.Dir(path); ; dir = filepath.Dir(dir) {
		info, err := os.Stat(dir)
		if (errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR)) && dir != "/" {
			continue
		}
		if err != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
		if !info.IsDir() {
			return fmt.Errorf("%s %s cannot be made: %s is not a directory", what, path, dir)
		}
		if err := unix.Faccessat(unix.AT_FDCWD, dir, unix.W_OK|unix.X_OK, unix.AT_EACCESS); err != nil {
			return fmt.Errorf("%s %s cannot be made: writing to %s: %w", what, path, dir, err)
		}
		return nil
	}
}

func fuseDevice() error {
	if _, err := os.Stat("/dev/fuse"); err != nil {
		return fmt.Errorf("FUSE: %w (load the kernel module fuse)", err)
	}
	if os.Geteuid() != 0 {
		if _, err := exec.LookPath("fusermount3"); err != nil {
			return errors.New("FUSE: ordinary users mount through fusermount3, which is not in PATH (package fuse3)")
		}
	}
	return nil
}
