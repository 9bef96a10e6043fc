package guest

import (
	"encoding/binary"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/secretfs/secretfs/tests/harness"
)

// A watcher is an inotify(7) instance that waits for IN_ATTRIB.
type watcher struct {
	fd    int
	paths map[int32]string // by watch descriptor
	seen  map[string]bool
}

func watch(t *testing.T, paths ...string) *watcher {
	t.Helper()
	fd, err := unix.InotifyInit1(unix.IN_NONBLOCK | unix.IN_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	w := &watcher{fd: fd, paths: make(map[int32]string)}
	for _, p := range paths {
		wd, err := unix.InotifyAddWatch(fd, p, unix.IN_ATTRIB)
		if err != nil {
			t.Fatal(err)
		}
		w.paths[int32(wd)] = p
	}
	w.clear(t)
	return w
}

// clear forgets what has come until now.
func (w *watcher) clear(t *testing.T) {
	w.drain(t)
	w.seen = make(map[string]bool)
}

func (w *watcher) drain(t *testing.T) {
	t.Helper()
	b := make([]byte, 64<<10)
	for {
		n, err := unix.Read(w.fd, b)
		if err == unix.EAGAIN {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		for at := 0; at < n; {
			wd := int32(binary.NativeEndian.Uint32(b[at:]))
			if w.seen != nil {
				w.seen[w.paths[wd]] = true
			}
			at += unix.SizeofInotifyEvent + int(binary.NativeEndian.Uint32(b[at+12:]))
		}
	}
}

// told waits until watchers of all of paths have heard.
func (w *watcher) told(t *testing.T, paths ...string) {
	t.Helper()
	for _, p := range paths {
		harness.Eventually(t, "IN_ATTRIB on "+p, func() bool { w.drain(t); return w.seen[p] })
	}
}
