package table

// A Pending is a request that a worker has taken, and what to do about it should
// that worker die: kernels that cannot resend (before Linux 6.9) would have its
// caller wait until the mount is gone.
type Pending struct {
	Unique uint64
	Node   NodeID
	TID    uint32
	Errno  int32
}

// Begin notes a request before it is handled. End is called with what it gives
// when the handler returns. There are more slots than there can be requests; one
// beyond them is not noted.
func (t *Table) Begin(p Pending) (slot int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.idle) == 0 {
		return -1
	}
	i := t.idle[0]
	t.idle = t.idle[1:]
	r := &t.pending[i]
	r.unique.Store(0)
	r.node, r.tid, r.errno = p.Node, p.TID, p.Errno
	r.unique.Store(p.Unique)
	return int(i)
}

// End is called when the handler has returned. The note stays until its slot is
// needed again, since the answer may not have left yet; the kernel takes no
// second answer.
func (t *Table) End(slot int) {
	if slot < 0 {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.idle = append(t.idle, uint32(slot))
}

// Left gives what an earlier worker had noted, and forgets it. answer tells the
// kernel, and says whether somebody was still waiting. Whoever was waiting for an
// OPEN is remembered as one that comes again, and has no handle.
func (t *Table) Left(answer func(Pending) (waited bool)) {
	for i := range t.pending {
		r := &t.pending[i]
		p := Pending{Unique: r.unique.Swap(0), Node: r.node, TID: r.tid, Errno: r.errno}
		if p.Unique == 0 {
			continue
		}
		t.SetRetry(p.TID, p.Node, p.Unique) // first: it may come at once
		if !answer(p) {
			t.dropRetry(p.TID)
			continue
		}
		if fh, ok := t.Resent(p.Unique); ok {
			t.Release(fh)
		}
	}
}

func (t *Table) dropRetry(tid uint32) {
	if r := &t.retries[tid%retrySlots]; r.tid.Load() == tid {
		r.tid.Store(0)
	}
}
