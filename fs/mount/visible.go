package mount

import (
	"errors"
	"os"
	"strconv"
)

// errHidden is what a unit meets whose mounts nobody else would see.
var errHidden = errors.New("mounting: this unit has a mount namespace of its own, so that nobody else would see the mount: " +
	"remove the options that make one (PrivateTmp=, ProtectSystem=, ProtectHome=, PrivateDevices=, ReadWritePaths= and " +
	"others; systemd.exec(5) names them)")

// visible refuses to mount where the mount would serve nobody: as the main
// process of a unit that has a mount namespace of its own. Only a process that
// the service manager itself has started is held to that (SYSTEMD_EXEC_PID,
// systemd.exec(5)); in a container or below `unshare -m` the namespace is meant.
func visible() error {
	pid, err := strconv.Atoi(os.Getenv("SYSTEMD_EXEC_PID"))
	if err != nil || pid != os.Getpid() || os.Geteuid() != 0 {
		return nil
	}
	own, err := os.Readlink("/proc/self/ns/mnt")
	if err != nil {
		return nil
	}
	first, err := os.Readlink("/proc/1/ns/mnt")
	if err != nil || own == first {
		return nil
	}
	return errHidden
}
