package permission

import (
	"encoding/gob"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The test binary also plays the callers. A caller is a process in one of the
// user namespaces; each identity is put on by a thread of its own, which then
// makes the system calls that it is sent and ends.

const (
	roleEnv   = "SECRETFS_TEST_ROLE"
	roleChild = "child"
	roleNest  = "nest" // a caller one user namespace further down
	treeFD    = 3      // the tmpfs, inherited
	mountFD   = 4      // the secretfs, inherited too
)

// An identity is what a thread puts on, in ids of its own user namespace. It
// has no other capabilities.
type identity struct {
	RUID, EUID, FSUID uint32
	RGID, EGID, FSGID uint32
	Groups            []uint32
	Permitted         uint32
	Effective         uint32
}

// ready is the answer to an identity.
type ready struct {
	TID int
	Err string
}

// A call is a system call on a path below the tmpfs, or below the mount.
type call struct {
	Kind callKind
	On   int // treeFD or mountFD
	Path string
	Arg  uint32 // flags of open(2), mode of access(2)
}

type callKind int

const (
	callOpen callKind = iota
	callStat
	callAccess    // by the real ids
	callEffAccess // by the effective ones: AT_EACCESS
	callChdir
)

func (c call) run() unix.Errno {
	var err error
	switch c.Kind {
	case callOpen:
		var fd int
		if fd, err = unix.Openat(c.On, c.Path, int(c.Arg)|unix.O_CLOEXEC|unix.O_NONBLOCK, 0); err == nil {
			err = unix.Close(fd)
		}
	case callStat:
		var st unix.Stat_t
		err = unix.Fstatat(c.On, c.Path, &st, 0)
	case callAccess:
		err = unix.Faccessat(c.On, c.Path, c.Arg, 0)
	case callEffAccess:
		err = unix.Faccessat(c.On, c.Path, c.Arg, unix.AT_EACCESS)
	case callChdir:
		if err = unix.Fchdir(c.On); err == nil {
			err = unix.Chdir(c.Path)
		}
	}
	errno, _ := err.(unix.Errno)
	return errno
}

// playCaller answers until its standard input ends.
func playCaller() error {
	in, out := gob.NewDecoder(os.Stdin), gob.NewEncoder(os.Stdout)
	for {
		var id identity
		if err := in.Decode(&id); err != nil {
			return nil // the test is over
		}
		on, calls, results := make(chan ready), make(chan []call), make(chan []unix.Errno)
		go wear(id, on, calls, results)
		if err := out.Encode(<-on); err != nil {
			return err
		}
		var todo []call
		if err := in.Decode(&todo); err != nil {
			return err
		}
		calls <- todo
		if err := out.Encode(<-results); err != nil {
			return err
		}
	}
}

// wear never unlocks its thread, so that it ends with the identity.
func wear(id identity, on chan<- ready, calls <-chan []call, results chan<- []unix.Errno) {
	runtime.LockOSThread()
	r := ready{TID: unix.Gettid()}
	err := unix.Unshare(unix.CLONE_FS) // a working directory of its own
	if err == nil {
		err = id.putOn()
	}
	if err != nil {
		r.Err = err.Error()
	}
	on <- r
	var done []unix.Errno
	for _, c := range <-calls {
		done = append(done, c.run())
	}
	results <- done
}

// putOn uses bare system calls, which change only this thread.
func (id identity) putOn() error {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var all, final [2]unix.CapUserData
	if err := unix.Capget(&header, &all[0]); err != nil {
		return fmt.Errorf("capget: %w", err)
	}
	all[0].Effective, all[1].Effective = all[0].Permitted, all[1].Permitted
	final[0] = unix.CapUserData{Permitted: id.Permitted, Effective: id.Effective}
	groups := append(slices.Clone(id.Groups), 0) // so that there is a first one
	steps := []func() error{
		func() error { return unix.Prctl(unix.PR_SET_KEEPCAPS, 1, 0, 0, 0) },
		func() error {
			_, _, errno := unix.RawSyscall(unix.SYS_SETGROUPS, uintptr(len(id.Groups)), uintptr(unsafe.Pointer(&groups[0])), 0)
			return orNil(errno)
		},
		func() error { return setIDs(unix.SYS_SETRESGID, id.RGID, id.EGID, id.EGID) },
		func() error { return setIDs(unix.SYS_SETRESUID, id.RUID, id.EUID, id.EUID) },
		func() error { return unix.Capset(&header, &all[0]) },
		func() error { return setIDs(unix.SYS_SETFSGID, id.FSGID, 0, 0) },
		func() error { return setIDs(unix.SYS_SETFSUID, id.FSUID, 0, 0) },
		func() error { return unix.Capset(&header, &final[0]) },
	}
	for i, step := range steps {
		if err := step(); err != nil {
			return fmt.Errorf("step %d: %w", i, err)
		}
	}
	return nil
}

func setIDs(call uintptr, a, b, c uint32) error {
	_, _, errno := unix.RawSyscall(call, uintptr(a), uintptr(b), uintptr(c))
	return orNil(errno)
}

func orNil(errno unix.Errno) error {
	if errno != 0 {
		return errno
	}
	return nil
}

// nest plays a caller in a user namespace below this one.
func nest() error {
	cmd := exec.Command("/proc/self/exe")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.ExtraFiles = []*os.File{os.NewFile(treeFD, "tree"), os.NewFile(mountFD, "mount")}
	cmd.Env = append(os.Environ(), roleEnv+"="+roleChild)
	cmd.SysProcAttr = inUserNS(nestedInOuter.uids, nestedInOuter.gids)
	return cmd.Run()
}

// inUserNS starts a process as root of a new user namespace.
func inUserNS(uids, gids []syscall.SysProcIDMap) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{
		Cloneflags:                 unix.CLONE_NEWUSER,
		UidMappings:                uids,
		GidMappings:                gids,
		GidMappingsEnableSetgroups: true,
		Credential:                 &syscall.Credential{},
	}
}
