package mount

import (
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// notify sends a message to the service manager (sd_notify(3)), with
// descriptors for its store if there are any. Without NOTIFY_SOCKET it does
// nothing. It never blocks.
func notify(state string, files ...*os.File) {
	path := os.Getenv("NOTIFY_SOCKET")
	if path == "" {
		return
	}
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return
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
	_ = unix.Sendmsg(fd, []byte(state), oob, &unix.SockaddrUnix{Name: path}, 0)
}

// announce tells the service manager that the mount serves, and puts what the
// next holder would need into its descriptor store: a second net, for the case
// that holder and worker die both.
func (h *Holder) announce() {
	notify(fmt.Sprintf("READY=1\nMAINPID=%d\nSTATUS=serving %s", os.Getpid(), h.m.dir))
	if os.Getenv("NOTIFY_SOCKET") == "" {
		return
	}
	files, names := h.heirlooms()
	for i, f := range files {
		notify("FDSTOREREMOVE=1\nFDNAME=" + names[i])
		notify("FDSTORE=1\nFDPOLL=0\nFDNAME="+names[i], f)
	}
}

// handleNotify passes a worker's message on: STATUS, RELOADING and READY.
func (h *Holder) handleNotify(m *message) (answer, error) {
	var n named
	if err := m.decode(&n); err != nil {
		return answer{}, err
	}
	if strings.HasPrefix(n.Name, "RELOADING=1") {
		var ts unix.Timespec
		if unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts) == nil {
			n.Name += fmt.Sprintf("\nMONOTONIC_USEC=%d", ts.Nano()/1000)
		}
	}
	notify(n.Name)
	return answer{}, nil
}
