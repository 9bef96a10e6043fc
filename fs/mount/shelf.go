package mount

import (
	"encoding/json"
	"errors"
	"maps"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// shelfDelay is how long changes are collected before they are stored.
const shelfDelay = 100 * time.Millisecond

// A shelf is the service manager's descriptor store (FileDescriptorStoreMax= in
// systemd.service(5)), where the next holder finds everything should holder and
// worker die both. It follows every change, some tenths of a second late: what
// is lost in between is a backing file that nobody drops, or a snapshot.
type shelf struct {
	wake   chan struct{}
	stored map[string]*os.File // what lies there, by name
	seq    int                 // of the state
	closed bool
}

// newShelf returns nil where nobody offers a store.
func newShelf() *shelf {
	if os.Getenv("NOTIFY_SOCKET") == "" {
		return nil
	}
	return &shelf{wake: make(chan struct{}, 1), stored: make(map[string]*os.File)}
}

// changed has the store brought up to date soon.
func (h *Holder) changed() {
	if h.shelf == nil {
		return
	}
	select {
	case h.shelf.wake <- struct{}{}:
	default:
	}
}

// fillShelf follows changes for as long as the process lives. A message that
// does not get through, because PID 1 is busy, is sent again.
func (h *Holder) fillShelf() {
	for range h.shelf.wake {
		time.Sleep(shelfDelay)
		h.mu.Lock()
		err := h.shelf.store(h.files(), h.snapshotState())
		h.mu.Unlock()
		if errors.Is(err, unix.EAGAIN) {
			h.changed()
		}
	}
}

func (s *shelf) store(files map[string]*os.File, st state) error {
	if s.closed {
		return nil
	}
	delete(files, fileLock)
	delete(files, fileParent) // its filesystem would be in use as long as it lies there
	for name := range maps.Clone(s.stored) {
		if files[name] != s.stored[name] {
			if err := notify("FDSTOREREMOVE=1\nFDNAME=" + storeName(name)); err != nil {
				return err
			}
			delete(s.stored, name)
		}
	}
	for name, f := range files {
		if s.stored[name] == f {
			continue
		}
		if err := notify("FDSTORE=1\nFDPOLL=0\nFDNAME="+storeName(name), f); err != nil {
			return err
		}
		s.stored[name] = f
	}
	return s.storeState(st)
}

// storeState stores the next state before it takes the last one away, so that
// there is one at any time.
func (s *shelf) storeState(st state) error {
	st.Seq = s.seq + 1
	b, err := json.Marshal(st)
	if err != nil {
		return err
	}
	f, err := inMemory(fileState, b)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := notify("FDSTORE=1\nFDPOLL=0\nFDNAME="+stateName(st.Seq), f); err != nil {
		return err
	}
	s.seq++
	return notify("FDSTOREREMOVE=1\nFDNAME=" + stateName(s.seq-1))
}

// clearShelf takes everything off: there is nothing to take over any more.
func (h *Holder) clearShelf() {
	h.mu.Lock()
	defer h.mu.Unlock()
	s := h.shelf
	if s == nil || s.closed {
		return
	}
	s.closed = true
	for name := range s.stored {
		_ = notify("FDSTOREREMOVE=1\nFDNAME=" + storeName(name)) // best effort: what is dead is recognized
	}
	_ = notify("FDSTOREREMOVE=1\nFDNAME=" + stateName(s.seq))
}

// storeName obeys sd_pid_notify_with_fds(3): no colons, no control characters.
func storeName(name string) string {
	return "secretfs-" + strings.ReplaceAll(name, ":", "_")
}

func stateName(seq int) string { return storeName(fileState + strconv.Itoa(seq%2)) }
