package mount

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// handleRegister takes a file that the worker serves from: as backing file for
// passthrough, or as a snapshot that the next worker can ask for. The holder
// never reads it.
func (h *Holder) handleRegister(m *message) (answer, error) {
	var r registerRequest
	defer closeAll(m.files)
	if err := m.decode(&r); err != nil {
		return answer{}, err
	}
	if len(m.files) != 1 {
		return answer{}, fmt.Errorf("registering: got %d descriptors, expected one", len(m.files))
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if r.Backing {
		id, err := registerBacking(h.m.dev, m.files[0])
		if err != nil {
			return answer{}, err
		}
		h.backings[id] = true
		h.changed()
		return answer{body: idList{IDs: []int32{id}}}, nil
	}
	copies, err := dupAll(m.files)
	if err != nil {
		return answer{}, err
	}
	h.nextID--
	h.snapshots[h.nextID] = copies[0]
	h.changed()
	return answer{body: idList{IDs: []int32{h.nextID}}}, nil
}

// handleDrop forgets objects. Without any id it answers with all there are, so
// that a new worker can find those that died with the last one.
func (h *Holder) handleDrop(m *message) (answer, error) {
	var list idList
	if err := m.decode(&list); err != nil {
		return answer{}, err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(list.IDs) == 0 {
		return answer{body: idList{IDs: h.objects()}}, nil
	}
	for _, id := range list.IDs {
		if f := h.snapshots[id]; f != nil {
			f.Close()
			delete(h.snapshots, id)
		}
		// One that an earlier holder registered may not be in our list.
		if id > 0 {
			if err := dropBacking(h.m.dev, id); err != nil {
				h.cfg.Log.Warn("dropping", "error", err)
			}
			delete(h.backings, id)
		}
	}
	h.changed()
	return answer{}, nil
}

func (h *Holder) objects() []int32 {
	ids := make([]int32, 0, len(h.backings)+len(h.snapshots))
	for id := range h.backings {
		ids = append(ids, id)
	}
	for id := range h.snapshots {
		ids = append(ids, id)
	}
	return ids
}

func (h *Holder) handleFetch(m *message) (answer, error) {
	var list idList
	if err := m.decode(&list); err != nil {
		return answer{}, err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	var files []*os.File
	for _, id := range list.IDs {
		f := h.snapshots[id]
		if f == nil {
			return answer{}, fmt.Errorf("fetching snapshot %d: no such snapshot", id)
		}
		files = append(files, f)
	}
	copies, err := dupAll(files)
	return answer{files: copies}, err
}

// handleKeep holds a file for the next worker, or gives it back. A keep
// without a file ends it.
func (h *Holder) handleKeep(m *message) (answer, error) {
	var n named
	if err := m.decode(&n); err != nil {
		return answer{}, err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	old := h.kept[n.Name]
	if m.Op == opKept {
		if old == nil {
			return answer{}, nil
		}
		copies, err := dupAll([]*os.File{old})
		return answer{files: copies}, err
	}
	if old != nil {
		old.Close()
		delete(h.kept, n.Name)
	}
	if len(m.files) == 1 {
		h.kept[n.Name] = m.files[0]
	}
	h.changed()
	return answer{}, nil
}

// dupAll duplicates descriptors, so that sending and closing them leaves the
// holder's own open.
func dupAll(files []*os.File) ([]*os.File, error) {
	copies := make([]*os.File, 0, len(files))
	for _, f := range files {
		fd, err := unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, 10)
		if err != nil {
			closeAll(copies)
			return nil, fmt.Errorf("duplicating %s: %w", f.Name(), err)
		}
		copies = append(copies, os.NewFile(uintptr(fd), f.Name()))
	}
	return copies, nil
}
