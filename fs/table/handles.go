package table

// A Handle is one open file as the kernel knows it.
type Handle struct {
	FH     uint64
	Node   NodeID
	Object int32 // what it reads from; 0 for a directory
	Size   int64
}

// Open records a handle and gives its id. unique is the id of the OPEN request
// without the resend bit.
func (t *Table) Open(unique uint64, h Handle) (uint64, error) {
	node, ok := t.index(h.Node)
	if !ok {
		return 0, ErrFull
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	slot, err := t.slot()
	if err != nil {
		return 0, err
	}
	r := &t.handles[slot]
	r.gen++
	r.node, r.object, r.size, r.unique = node, h.Object, h.Size, unique
	r.state.Store(1)
	t.open[node]++
	t.reading[h.Object]++
	return fh(slot, r.gen), nil
}

// Resent gives the handle that a dead worker had recorded for a request which
// the kernel sends again: its answer never left, so that nobody will ever
// release it.
func (t *Table) Resent(unique uint64) (id uint64, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	slot, ok := t.resent[unique]
	return fh(slot, t.handles[slot].gen), ok
}

func (t *Table) slot() (uint32, error) {
	if n := len(t.free); n > 0 {
		slot := t.free[n-1]
		t.free = t.free[:n-1]
		return slot, nil
	}
	slot := t.head.handles.Load()
	if slot >= maxHandles {
		return 0, ErrFull
	}
	t.head.handles.Store(slot + 1)
	return slot, nil
}

// Handle tells what an open handle reads from.
func (t *Table) Handle(id uint64) (Handle, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.handle(id)
}

func (t *Table) handle(h uint64) (Handle, bool) {
	slot := uint32(h)
	if slot >= t.head.handles.Load() {
		return Handle{}, false
	}
	r := &t.handles[slot]
	if r.state.Load() == 0 || r.gen != uint32(h>>32) {
		return Handle{}, false
	}
	return Handle{FH: h, Node: id(r.node), Object: r.object, Size: r.size}, true
}

// Release forgets a handle. RELEASE can come twice: the second time ok is
// false. last says that no other handle of the node is open.
func (t *Table) Release(id uint64) (h Handle, last, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	h, ok = t.handle(id)
	if !ok {
		return h, false, false
	}
	slot := uint32(id)
	delete(t.resent, t.handles[slot].unique)
	t.release(slot)
	node, _ := t.index(h.Node)
	return h, t.open[node] == 0, true
}

func (t *Table) release(slot uint32) {
	r := &t.handles[slot]
	r.state.Store(0)
	t.free = append(t.free, slot)
	if t.open[r.node]--; t.open[r.node] <= 0 {
		delete(t.open, r.node)
	}
	if t.reading[r.object]--; t.reading[r.object] <= 0 {
		delete(t.reading, r.object)
	}
}

// Busy says whether a handle on n is open.
func (t *Table) Busy(n NodeID) bool {
	i, ok := t.index(n)
	if !ok {
		return false
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.open[i] > 0
}

// Objects are the objects that open handles read from.
func (t *Table) Objects() map[int32]bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	used := make(map[int32]bool)
	for i := range t.head.handles.Load() {
		if r := &t.handles[i]; r.state.Load() != 0 && r.object != 0 {
			used[r.object] = true
		}
	}
	return used
}

func fh(slot, gen uint32) uint64 { return uint64(gen)<<32 | uint64(slot) }

// Reads says whether an open handle reads from object.
func (t *Table) Reads(object int32) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.reading[object] > 0
}
