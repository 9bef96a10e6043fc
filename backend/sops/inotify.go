package sops

import (
	"bytes"
	"encoding/binary"
	"os"
	"slices"
	"sync"

	"golang.org/x/sys/unix"
)

// An inotify is the one inotify instance of the process: a user may have no more
// than 128 (inotify(7), max_user_instances), and a policy more files than that.
// It is open while anything is watched. Where it cannot be had, changes are only
// seen by looking.
type inotify struct {
	mu    sync.Mutex
	file  *os.File
	dirs  map[int32]map[*subscription][]string // by watch descriptor: who cares about which names
	where map[*subscription][]int32
}

var events = inotify{dirs: map[int32]map[*subscription][]string{}, where: map[*subscription][]int32{}}

const (
	// selfEvents say that a directory went away.
	selfEvents = unix.IN_MOVE_SELF | unix.IN_DELETE_SELF | unix.IN_UNMOUNT
	// nameEvents say that what a name stands for changed.
	nameEvents = unix.IN_CREATE | unix.IN_MOVED_TO | unix.IN_MOVED_FROM | unix.IN_DELETE |
		unix.IN_MODIFY | unix.IN_CLOSE_WRITE | unix.IN_ATTRIB
)

// watch has s woken by events in places, and no longer by those of before.
func (n *inotify) watch(s *subscription, p places) {
	n.mu.Lock()
	if n.file == nil && len(p) > 0 {
		n.open()
	}
	file := n.file
	n.mu.Unlock()
	if file == nil {
		return
	}
	// Outside of the lock: a dead server may hold up its own files only.
	found := map[int32][]string{}
	for dir, names := range p {
		mask := uint32(selfEvents | unix.IN_ONLYDIR | unix.IN_MASK_ADD)
		if len(names) > 0 {
			mask |= nameEvents
		}
		if wd, err := addWatch(file, dir, mask); err == nil {
			found[wd] = append(found[wd], names...)
		}
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if file == n.file {
		n.replace(s, found)
	}
}

// addWatch fails where the directory is gone, may not be read, or the user has
// too many watches.
func addWatch(file *os.File, dir string, mask uint32) (wd int32, err error) {
	raw, err := file.SyscallConn()
	if err != nil {
		return 0, err
	}
	var added int
	ctlErr := raw.Control(func(fd uintptr) { added, err = unix.InotifyAddWatch(int(fd), dir, mask) })
	if ctlErr != nil {
		return 0, ctlErr
	}
	return int32(added), err
}

func (n *inotify) open() {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return
	}
	n.file = os.NewFile(uintptr(fd), "inotify")
	go n.read(n.file)
}

// replace makes found all that s cares about. mu is held.
func (n *inotify) replace(s *subscription, found map[int32][]string) {
	select {
	case <-s.done:
		clear(found)
	default:
	}
	old := n.where[s]
	delete(n.where, s)
	for _, wd := range old {
		delete(n.dirs[wd], s)
	}
	for wd, names := range found {
		if n.dirs[wd] == nil {
			n.dirs[wd] = map[*subscription][]string{}
		}
		n.dirs[wd][s] = names
		n.where[s] = append(n.where[s], wd)
	}
	for _, wd := range old {
		if n.dirs[wd] != nil && len(n.dirs[wd]) == 0 {
			n.drop(wd)
		}
	}
	if len(n.where) == 0 {
		n.file.Close()
		n.file = nil
		clear(n.dirs)
	}
}

// drop ends a watch that the kernel may have ended already.
func (n *inotify) drop(wd int32) {
	delete(n.dirs, wd)
	if raw, err := n.file.SyscallConn(); err == nil {
		_ = raw.Control(func(fd uintptr) { _, _ = unix.InotifyRmWatch(int(fd), uint32(wd)) })
	}
}

// read ends when file is closed.
func (n *inotify) read(file *os.File) {
	buf := make([]byte, 64<<10)
	for {
		size, err := file.Read(buf)
		if err != nil {
			return
		}
		n.mu.Lock()
		if file == n.file {
			n.dispatch(buf[:size])
		}
		n.mu.Unlock()
	}
}

// dispatch wakes who cares about the events in buf (inotify(7), struct
// inotify_event).
func (n *inotify) dispatch(buf []byte) {
	for len(buf) >= unix.SizeofInotifyEvent {
		wd := int32(binary.NativeEndian.Uint32(buf))
		mask := binary.NativeEndian.Uint32(buf[4:])
		end := unix.SizeofInotifyEvent + int(binary.NativeEndian.Uint32(buf[12:]))
		if end > len(buf) {
			return
		}
		name, _, _ := bytes.Cut(buf[unix.SizeofInotifyEvent:end], []byte{0})
		buf = buf[end:]
		if mask&unix.IN_Q_OVERFLOW != 0 {
			for s := range n.where {
				s.wake()
			}
			continue
		}
		for s, names := range n.dirs[wd] {
			if mask&(selfEvents|unix.IN_IGNORED) != 0 || slices.Contains(names, string(name)) {
				s.wake()
			}
		}
	}
}
