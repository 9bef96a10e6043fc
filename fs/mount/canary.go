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
	ask := h.m.statfs()
	go func() {
		for {
			select {
			case <-ctx.Done():
				return
			case <-time.After(time.Second):
			}
			if h.answered(ask) {
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

// statfs is how to ask: through the clone, which nothing can be mounted on top
// of, where there is one. The number is taken once: whoever closes the clone
// does not wait for a question that hangs.
func (m *mounted) statfs() func() {
	if m.clone == nil {
		return func() {
			var s unix.Statfs_t
			_ = unix.Statfs(m.dir, &s)
		}
	}
	fd := int(m.clone.Fd())
	return func() {
		var s unix.Statfs_t
		_ = unix.Fstatfs(fd, &s)
	}
}

// answered says whether a question was answered in time.
func (h *Holder) answered(ask func()) bool {
	answered := make(chan struct{})
	go func() {
		defer close(answered)
		ask()
	}()
	select {
	case <-answered:
		return true
	case <-time.After(h.cfg.Heartbeat):
		return false
	}
}
