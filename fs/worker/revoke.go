package worker

import (
	"context"
	"time"
)

// revokeTime is how long servers may take to take back what they have given. The
// holder does not wait for us much longer.
const revokeTime = 1500 * time.Millisecond

// giveBack has the backends give back tokens and leases: the mount has ended. A
// worker that is replaced does not come here, it is killed.
func (w *worker) giveBack() {
	w.givenBack.Do(func() {
		ctx, cancel := context.WithTimeout(context.Background(), revokeTime)
		defer cancel()
		if err := w.gate.View().Backends.Revoke(ctx); err != nil {
			w.log.Warn("giving tokens and leases back", "error", err)
		}
	})
}

// giveUp does so for a backend that the policy does not have any more. Where it has
// another one of that name, that one goes on with what this one had.
func (w *worker) giveUp(name string, o *opened) {
	w.mu.Lock()
	replaced := w.opened[name] != nil
	w.mu.Unlock()
	if replaced {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), o.spec.Timeout)
	defer cancel()
	if err := o.resolver.Revoke(ctx); err != nil {
		w.log.Warn("giving tokens and leases back", "name", name, "error", err)
	}
}
