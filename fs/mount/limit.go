package mount

import (
	"fmt"
	"os"
	"runtime"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// Limits of every helper (setrlimit(2)).
const (
	// helperData bounds what it may write to in memory: enough for the most
	// expensive key derivation. The address space is not bounded: a Go program
	// reserves far more of it than it uses.
	helperData  = 2 << 30 // bytes
	helperFiles = 1024    // descriptors
	// helperTasks is for uids of their own. A user's number of processes is
	// that of everything else that the user runs, so it cannot be bounded here.
	helperTasks = 256
	// helperLocked lets it keep the data key in locked memory.
	helperLocked = 64 << 20 // bytes
)

// cpuSeconds is the processor time that no helper can use up before its
// deadline. It is for the time after a holder that died.
func cpuSeconds(d time.Duration) uint64 {
	return (uint64(max(d, 0)/time.Second) + 1) * uint64(runtime.NumCPU())
}

// limit sets the limits of this process. It is not made nice: somebody waits
// for it, and gpg-agent would stay so.
func (c Confinement) limit() error {
	limits := map[int]uint64{unix.RLIMIT_CORE: 0, unix.RLIMIT_NOFILE: helperFiles, unix.RLIMIT_DATA: helperData}
	if c.CPU > 0 {
		limits[unix.RLIMIT_CPU] = c.CPU
	}
	if os.Geteuid() == 0 && c.User == "" {
		limits[unix.RLIMIT_NPROC] = helperTasks
	}
	for resource, most := range limits {
		var now unix.Rlimit
		if err := unix.Getrlimit(resource, &now); err != nil {
			return fmt.Errorf("reading limit %d: %w", resource, err)
		}
		most = min(most, now.Max)
		if err := unix.Setrlimit(resource, &unix.Rlimit{Cur: most, Max: most}); err != nil {
			return fmt.Errorf("setting limit %d to %d: %w", resource, most, err)
		}
	}
	if os.Geteuid() == 0 {
		locked := unix.Rlimit{Cur: helperLocked, Max: helperLocked}
		_ = unix.Setrlimit(unix.RLIMIT_MEMLOCK, &locked) // a container may have less to give, and that may do
	}
	return nil
}

// limitBoundingSet leaves no way to capabilities but keep: not even execve(2)
// by root gives them (capabilities(7)).
func limitBoundingSet(keep []int) error {
	for c := range unix.CAP_LAST_CAP + 1 {
		if slices.Contains(keep, c) {
			continue
		}
		if err := unix.Prctl(unix.PR_CAPBSET_DROP, uintptr(c), 0, 0, 0); err != nil && err != unix.EINVAL {
			return fmt.Errorf("dropping capability %d: %w", c, err)
		}
	}
	return nil
}

// setCapabilities gives the calling thread caps, in a way that outlives an
// execve(2), and none besides.
func setCapabilities(caps []int) error {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var have, want [2]unix.CapUserData
	if err := unix.Capget(&header, &have[0]); err != nil {
		return fmt.Errorf("reading capabilities: %w", err)
	}
	for _, c := range caps {
		want[c/32].Permitted |= 1 << (c % 32) & have[c/32].Permitted
	}
	for i := range want {
		want[i].Effective, want[i].Inheritable = want[i].Permitted, want[i].Permitted
	}
	if err := unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0); err != nil {
		return fmt.Errorf("dropping ambient capabilities: %w", err)
	}
	header.Pid = 0
	if err := unix.Capset(&header, &want[0]); err != nil {
		return fmt.Errorf("setting capabilities: %w", err)
	}
	for _, c := range caps {
		if want[c/32].Permitted&(1<<(c%32)) == 0 {
			continue // not to be had in this container
		}
		if err := unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_RAISE, uintptr(c), 0, 0); err != nil {
			return fmt.Errorf("keeping capability %d: %w", c, err)
		}
	}
	return nil
}
