package mount

import (
	"context"
	"time"

	"golang.org/x/sys/unix"
)

// canary asks for statfs on the mount once a second, which the kernel never
// answers from a cache, and reports when an answer is overdue. A goroutine that
// merely ticks in the worker would prove nothing. Each question is asked from a
// goroutine of its own: its thread may stay in D state until the next worker
// answers. Go's timers run on CLOCK_MONOTONIC, so that a suspended machine does
// not look like a hung worker.
func (h *Holder) canary(ctx context.Context) <-chan struct{} {
	hung := make(chan struct{})
	go func() {
		for {
			select {
			case <-ctx.Done():
				return
			case <-time.After(time.Second):
			}
			if h.asked() {
				continue
			}
			select {
			case hung <- struct{}{}:
			case <-ctx.Done():
				return
			}
		}
	}()
	return hung
}

// asked says whether statfs was answered in time.
func (h *Holder) asked() bool {
	answered := make(chan struct{})
	go func() {
		defer close(answered)
		var s unix.Statfs_t
		if h.m.clone != nil {
			_ = unix.Fstatfs(int(h.m.clone.Fd()), &s)
		} else {
			_ = unix.Statfs(h.m.dir, &s)
		}
	}()
	select {
	case <-answered:
		return true
	case <-time.After(h.cfg.Heartbeat):
		return false
	}
}
