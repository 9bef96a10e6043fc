package table

import (
	"time"

	"golang.org/x/sys/unix"
)

// retryWindow is how long an ESTALE is remembered. The kernel comes again at
// once; a worker that dies in between costs some tens of milliseconds.
const retryWindow = 10 * time.Second

// SetRetry remembers that request unique of thread tid was answered ESTALE for
// n's path. A second ESTALE would reach the program (fs/namei.c retries once),
// so its next OPEN has to be served with whatever its node carries.
func (t *Table) SetRetry(tid uint32, n NodeID, unique uint64) {
	i, ok := t.index(n)
	if !ok {
		return
	}
	r := &t.retries[tid%retrySlots]
	r.tid.Store(0)
	r.node, r.at, r.asked = t.nodes[i].primary, monotonic(), unique
	r.again.Store(0)
	r.tid.Store(tid)
}

// TakeRetry says whether request unique is the one with which thread tid comes
// again after an ESTALE for n's path. A request that is resent after a crash
// gets the answer that it got before.
func (t *Table) TakeRetry(tid uint32, n NodeID, unique uint64) bool {
	i, ok := t.index(n)
	if !ok || tid == 0 {
		return false
	}
	r := &t.retries[tid%retrySlots]
	if !r.is(tid, t.nodes[i].primary) || r.asked == unique {
		return false
	}
	return r.again.CompareAndSwap(0, unique) || r.again.Load() == unique
}

// Retrying says whether thread tid was answered ESTALE for n's path and has not
// come again yet.
func (t *Table) Retrying(tid uint32, n NodeID) bool {
	i, ok := t.index(n)
	if !ok || tid == 0 {
		return false
	}
	r := &t.retries[tid%retrySlots]
	return r.is(tid, t.nodes[i].primary) && r.again.Load() == 0
}

// is says that r is about that thread and path, and not too old.
func (r *retryRecord) is(tid, primary uint32) bool {
	return r.tid.Load() == tid && r.node == primary && monotonic()-r.at < int64(retryWindow)
}

// monotonic is CLOCK_MONOTONIC in nanoseconds, which all workers share.
func monotonic() int64 {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
		return 0
	}
	return ts.Nano()
}
