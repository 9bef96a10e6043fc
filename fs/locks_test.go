package fs

import (
	"context"
	"errors"
	"testing"
	"time"
)

func TestInterruptedWaiterGivesUpOnlyOnASlowHolder(t *testing.T) {
	for _, slow := range []bool{false, true} {
		f, _, _ := serve(t, true)
		held, err := f.locks.lock(t.Context(), 7)
		if err != nil {
			t.Fatal(err)
		}
		held.slow.Store(slow)
		ctx, interrupt := context.WithCancel(t.Context())
		interrupt()
		outcome := make(chan error, 1)
		go func() {
			p, err := f.locks.lock(ctx, 7)
			if err == nil {
				f.locks.unlock(p)
			}
			outcome <- err
		}()
		if slow {
			if err := <-outcome; !errors.Is(err, context.Canceled) {
				t.Errorf("waiting for a slow holder: %v, want %v", err, context.Canceled)
			}
			f.locks.unlock(held)
			continue
		}
		select {
		case err := <-outcome:
			t.Errorf("waiting for a quick holder ended with %v before it was done", err)
		case <-time.After(10 * lookAgain):
		}
		f.locks.unlock(held)
		if err := <-outcome; err != nil {
			t.Errorf("waiting for a quick holder: %v", err)
		}
		if len(f.locks.held) != 0 {
			t.Error("a lock that nobody wants is kept")
		}
	}
}
