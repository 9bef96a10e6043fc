package mount

import (
	"bufio"
	"context"
	"errors"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// fsType is the type of our mounts in /proc/self/mountinfo.
const fsType = "fuse.secretfs"

// A mountEntry is one line of mountinfo (proc_pid_mountinfo(5)).
type mountEntry struct {
	id     int
	parent int    // the mount that it is on
	device string // major:minor
	root   string // the directory or file of the filesystem that is mounted
	dir    string
	kind   string
}

// ownMounts is the file that lists the mounts of this mount namespace.
const ownMounts = "/proc/self/mountinfo"

// readMounts lists the mounts of a mount namespace, in the order in which they
// were made. Unlike stat(2) it asks no filesystem.
func readMounts(file string) ([]mountEntry, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var entries []mountEntry
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		if e, ok := parseMount(lines.Text()); ok {
			entries = append(entries, e)
		}
	}
	return entries, lines.Err()
}

func parseMount(line string) (mountEntry, bool) {
	head, tail, ok := strings.Cut(line, " - ")
	// Not Fields: the kernel escapes no blank but those of ASCII.
	fields := strings.Split(head, " ")
	if !ok || len(fields) < 6 {
		return mountEntry{}, false
	}
	id, err := strconv.Atoi(fields[0])
	parent, _ := strconv.Atoi(fields[1])
	kind, _, _ := strings.Cut(tail, " ")
	return mountEntry{
		id: id, parent: parent, device: fields[2], root: unescapeMount(fields[3]), dir: unescapeMount(fields[4]), kind: kind,
	}, err == nil
}

// unescapeMount undoes the octal escapes of blanks and backslashes.
func unescapeMount(s string) string {
	if !strings.Contains(s, `\`) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+3 < len(s) {
			if n, err := strconv.ParseUint(s[i+1:i+4], 8, 8); err == nil {
				b.WriteByte(byte(n))
				i += 3
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// topMount is the mount that dir leads to, if dir is a mount point. One that is
// hidden, because something else is mounted above, has the same name.
func topMount(dir string) (top mountEntry, ok bool, err error) {
	entries, err := readMounts(ownMounts)
	if err != nil {
		return top, false, err
	}
	id, err := leadsTo(dir)
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) {
		return top, false, nil
	}
	for _, e := range entries {
		if e.dir == dir && (id == 0 || e.id == id) {
			top, ok = e, true
		}
	}
	return top, ok, nil
}

// watchMount tells when the mount is no longer in the tree: somebody has
// unmounted it by hand.
func (h *Holder) watchMount(ctx context.Context) <-chan struct{} {
	gone := make(chan struct{})
	go func() {
		// Not os.Open: Go's own poller would take the events away.
		fd, err := unix.Open(ownMounts, unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			h.cfg.Log.Warn("watching the mount table", "error", err)
			return
		}
		defer unix.Close(fd)
		for ctx.Err() == nil {
			fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLPRI}}
			_, _ = unix.Poll(fds, int((5 * time.Second).Milliseconds()))
			if !h.m.present() {
				close(gone)
				return
			}
		}
	}()
	return gone
}

// covered says that something else is mounted on top.
func (m *mounted) covered() bool { return len(m.stack()) > 1 }

func (m *mounted) present() bool {
	entries, err := readMounts(ownMounts)
	if err != nil {
		return true
	}
	for _, e := range entries {
		if e.id == m.id {
			return true
		}
	}
	return false
}
