package secret

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// Harden keeps this process out of core dumps and, where system is set, all of
// it out of swap: the net under the copies of plaintext that libraries make on
// the Go heap. Call it first thing in main.
//
// It clears PR_SET_DUMPABLE, so that the files of /proc/self belong to root: an
// ordinary user's process can then not open its own /proc/self/mem or environ,
// nor write a uid_map for a child that it clones without execve(2) (EACCES), and
// only root attaches a debugger. /proc/self/fd still works. execve(2) sets the flag
// again, so each program calls Harden for itself.
//
// system needs CAP_IPC_LOCK or an unlimited RLIMIT_MEMLOCK: what is locked is the
// address space, over 1 GiB in a Go program, although only touched pages
// (MCL_ONFAULT, Linux 4.4) are in memory. User mounts cannot have it.
func Harden(system bool) error {
	if err := unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{}); err != nil {
		return fmt.Errorf("switching core dumps off (RLIMIT_CORE): %w", err)
	}
	// A limit of 0 does not stop a core_pattern that is a pipe (core(5)).
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return fmt.Errorf("switching core dumps off (PR_SET_DUMPABLE): %w", err)
	}
	if !system {
		return nil
	}
	if err := unix.Mlockall(unix.MCL_CURRENT | unix.MCL_FUTURE | unix.MCL_ONFAULT); err != nil {
		return fmt.Errorf("keeping the process out of swap (mlockall): %w", limitError(err))
	}
	return nil
}
