package table

import (
	"time"

	"golang.org/x/sys/unix"
)

// retryWindow is how long an ESTALE is remembered. The kernel comes again at
// once; a worker that dies in between costs some tens of milliseconds.
const retryWindow = 10 * time.Second

// SetRetry remembers that thread tid was answered ESTALE for n's path. A
// second ESTALE would reach the program (fs/namei.c retries once), so its next
// OPEN has to be served with whatever its node carries.
func (t *Table) SetRetry(tid uint32, n NodeID) {
	i, ok := t.index(n)
	if !ok {
		return
	}
	r := &t.retries[tid%retrySlots]
	r.tid.Store(0)
	r.node, r.at = t.nodes[i].primary, monotonic()
	r.tid.Store(tid)
}

// TakeRetry says whether thread tid was answered ESTALE for n's path just now,
// and forgets it.
func (t *Table) TakeRetry(tid uint32, n NodeID) bool {
	i, ok := t.index(n)
	if !ok || tid == 0 {
		return false
	}
	r := &t.retries[tid%retrySlots]
	if r.tid.Load() != tid || r.node != t.nodes[i].primary {
		return false
	}
	fresh := monotonic()-r.at < int64(retryWindow)
	return r.tid.CompareAndSwap(tid, 0) && fresh
}

// monotonic is CLOCK_MONOTONIC in nanoseconds, which all workers share.
func monotonic() int64 {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
		return 0
	}
	return ts.Nano()
}
