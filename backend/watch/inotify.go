package watch

import (
	"bytes"
	"encoding/binary"
	"maps"
	"os"
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
	dirs  map[int32]map[*Watch]names // by watch descriptor: who cares about which names
	where map[*Watch][]int32
}

var events = inotify{dirs: map[int32]map[*Watch]names{}, where: map[*Watch][]int32{}}

const (
	// selfEvents say that a directory went away.
	selfEvents = unix.IN_MOVE_SELF | unix.IN_DELETE_SELF | unix.IN_UNMOUNT
	// nameEvents say that what a name stands for changed.
	nameEvents = unix.IN_CREATE | unix.IN_MOVED_TO | unix.IN_MOVED_FROM | unix.IN_DELETE |
		unix.IN_MODIFY | unix.IN_CLOSE_WRITE | unix.IN_ATTRIB
)

// watch has w woken by events in places, and with instead no longer by those of
// before.
func (n *inotify) watch(w *Watch, p places, instead bool) {
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
	found := watches{}
	for dir, of := range p {
		mask := uint32(selfEvents | unix.IN_ONLYDIR | unix.IN_MASK_ADD)
		if len(of) > 0 {
			mask |= nameEvents
		}
		if wd, err := addWatch(file, dir, mask); err == nil {
			found.add(wd, of)
		}
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if file != n.file {
		return
	}
	if !instead {
		for _, wd := range n.where[w] {
			found.add(wd, n.dirs[wd][w])
		}
	}
	n.replace(w, found)
}

// watches are the names that matter by watch descriptor.
type watches map[int32]names

func (f watches) add(wd int32, of names) {
	if f[wd] == nil {
		f[wd] = names{}
	}
	maps.Copy(f[wd], of)
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

// replace makes found all that w cares about. mu is held.
func (n *inotify) replace(w *Watch, found watches) {
	select {
	case <-w.done:
		clear(found)
	default:
	}
	old := n.where[w]
	delete(n.where, w)
	for _, wd := range old {
		delete(n.dirs[wd], w)
	}
	for wd, of := range found {
		if n.dirs[wd] == nil {
			n.dirs[wd] = map[*Watch]names{}
		}
		n.dirs[wd][w] = of
		n.where[w] = append(n.where[w], wd)
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
			for w := range n.where {
				w.wake()
			}
			continue
		}
		for w, of := range n.dirs[wd] {
			if mask&(selfEvents|unix.IN_IGNORED) != 0 || of[string(name)] || of[every] {
				w.wake()
			}
		}
	}
}
