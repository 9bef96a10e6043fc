package mount

import (
	"context"
	"time"

	"golang.org/x/sys/unix"
)

// canary asks for statfs on the mount once a second, which the kernel never
// answers from a cache, and reports when an answer is overdue. A goroutine that
// merely ticks in the worker would prove nothing. Each question is asked aside:
// its thread may stay in D state until the next worker answers. Go's timers run on CLOCK_MONOTONIC, so that a suspended machine does
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
			if h.answered(ask()) {
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
func (m *mounted) statfs() func() <-chan error {
	if m.clone == nil {
		return func() <-chan error {
			return aside(-1, func() error { return unix.Statfs(m.dir, new(unix.Statfs_t)) })
		}
	}
	fd := int(m.clone.Fd())
	return func() <-chan error {
		return aside(fd, func() error { return unix.Fstatfs(fd, new(unix.Statfs_t)) })
	}
}

// answered says whether a question was answered in time; how does not matter.
func (h *Holder) answered(answer <-chan error) bool {
	select {
	case <-answer:
		return true
	case <-time.After(h.cfg.Heartbeat):
		return false
	}
}
