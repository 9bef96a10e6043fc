package mount

import (
	"errors"
	"fmt"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// workerCaps are the capabilities that a system worker cannot do without: key
// files of any owner, other users' executables, locked memory.
var workerCaps = []int{unix.CAP_DAC_READ_SEARCH, unix.CAP_SYS_PTRACE, unix.CAP_IPC_LOCK}

// ErrNoSandbox says that this build cannot drop privileges on all threads.
var ErrNoSandbox = errors.New("locking up the worker: not possible in a program that was built with cgo")

// LockUp takes from a worker all that it does not need. In its own mount
// namespace everything becomes read-only but the writable directories, and all
// secretfs mounts go, which it would keep alive after an unmount. It is a slave
// of the machine's namespace, so that key files on a later mount are seen. Then
// all capabilities but workerCaps go, for good.
//
// This stops mistakes. It does not stop code that runs in the worker:
// CAP_SYS_PTRACE opens /proc/PID/root.
func LockUp(system bool, writable []string) error {
	if system {
		if err := lockMounts(writable); err != nil {
			return fmt.Errorf("locking up the worker: %w", err)
		}
	}
	if err := everyThread(unix.SYS_PRCTL, unix.PR_SET_NO_NEW_PRIVS, 1); err != nil {
		return err
	}
	if system {
		return dropCapabilities()
	}
	return nil
}

func lockMounts(writable []string) error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_SLAVE, ""); err != nil {
		return fmt.Errorf("making / a slave: %w", err)
	}
	if err := leaveSecretMounts(); err != nil {
		return err
	}
	clones := make([]int, len(writable))
	for i, dir := range writable {
		fd, err := unix.OpenTree(unix.AT_FDCWD, dir, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|unix.AT_RECURSIVE)
		if err != nil {
			return fmt.Errorf("keeping %s writable: %w", dir, err)
		}
		defer unix.Close(fd)
		clones[i] = fd
	}
	attr := unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY}
	if err := unix.MountSetattr(unix.AT_FDCWD, "/", unix.AT_RECURSIVE, &attr); err != nil {
		return fmt.Errorf("making / read-only: %w", err)
	}
	for i, dir := range writable {
		if err := unix.MoveMount(clones[i], "", unix.AT_FDCWD, dir, unix.MOVE_MOUNT_F_EMPTY_PATH); err != nil {
			return fmt.Errorf("keeping %s writable: %w", dir, err)
		}
	}
	return nil
}

func dropCapabilities() error {
	keep := make(map[int]bool)
	var mask [2]uint32
	for _, c := range workerCaps {
		keep[c] = true
		mask[c/32] |= 1 << (c % 32)
	}
	for c := range unix.CAP_LAST_CAP + 1 {
		if keep[c] {
			continue
		}
		if err := everyThread(unix.SYS_PRCTL, unix.PR_CAPBSET_DROP, uintptr(c)); err != nil && !errors.Is(err, unix.EINVAL) {
			return fmt.Errorf("locking up the worker: dropping capability %d: %w", c, err)
		}
	}
	have := [2]unix.CapUserData{}
	if err := unix.Capget(&capHeader, &have[0]); err != nil {
		return fmt.Errorf("locking up the worker: %w", err)
	}
	for i := range capWant {
		// What a container's bounding set lacks cannot be had.
		capWant[i].Permitted = mask[i] & have[i].Permitted
		capWant[i].Effective = capWant[i].Permitted
	}
	capHeader.Pid = 0
	err := everyThread(unix.SYS_CAPSET, uintptr(unsafe.Pointer(&capHeader)), uintptr(unsafe.Pointer(&capWant[0])))
	if err != nil {
		return fmt.Errorf("locking up the worker: %w", err)
	}
	return nil
}

// capset(2) gets these on every thread, so they must not lie on a stack that
// can move.
var (
	capHeader = unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	capWant   [2]unix.CapUserData
)

// everyThread makes a system call that changes only the calling thread on all
// threads of the process.
func everyThread(trap, a, b uintptr) error {
	_, _, errno := syscall.AllThreadsSyscall(trap, a, b, 0)
	if errno == syscall.ENOTSUP {
		return ErrNoSandbox
	}
	if errno != 0 {
		return errno
	}
	return nil
}
