package mount

import (
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// notify sends a message to the service manager (sd_notify(3)), with
// descriptors for its store if there are any. Without NOTIFY_SOCKET it does
// nothing. It never blocks: PID 1 may be waiting for this very mount.
func notify(state string, files ...*os.File) error {
	path := os.Getenv("NOTIFY_SOCKET")
	if path == "" {
		return nil
	}
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return fmt.Errorf("telling the service manager: %w", err)
	}
	defer unix.Close(fd)
	var oob []byte
	if len(files) > 0 {
		fds := make([]int, len(files))
		for i, f := range files {
			fds[i] = int(f.Fd())
		}
		oob = unix.UnixRights(fds...)
	}
	// x/sys turns a leading @ into an abstract address.
	if err := unix.Sendmsg(fd, []byte(state), oob, &unix.SockaddrUnix{Name: path}, 0); err != nil {
		return fmt.Errorf("telling the service manager: %w", err)
	}
	return nil
}

// announce tells the service manager that the mount serves.
func (h *Holder) announce() {
	_ = notify(fmt.Sprintf("READY=1\nMAINPID=%d\nSTATUS=serving %s", os.Getpid(), h.m.dir))
	h.changed()
}

// reloading tells that we are busy with something until READY=1. With
// Type=notify-reload the time is required (sd_notify(3)).
func reloading(status string) error {
	state := "RELOADING=1\n" + status
	var ts unix.Timespec
	if unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts) == nil {
		state += fmt.Sprintf("\nMONOTONIC_USEC=%d", ts.Nano()/1000)
	}
	return notify(state)
}

// handleNotify passes a worker's message on: STATUS, RELOADING and READY.
func (h *Holder) handleNotify(m *message) (answer, error) {
	var n named
	if err := m.decode(&n); err != nil {
		return answer{}, err
	}
	if rest, ok := strings.CutPrefix(n.Name, "RELOADING=1"); ok {
		return answer{}, reloading(strings.TrimSpace(rest))
	}
	return answer{}, notify(n.Name)
}
