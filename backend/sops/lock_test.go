package sops

import (
	"errors"
	"testing"
	"time"

	"github.com/secretfs/secretfs/backend"
	"github.com/secretfs/secretfs/backend/secret"
)

// A locked backend knows names and lengths, and no key, whatever happens to its
// files.
func TestLock(t *testing.T) {
	before := secret.Stats().Values
	f := newFixture(t, sample(t, "one"))
	locked := func(when string) {
		t.Helper()
		if got, err := f.get("a"); !errors.Is(err, backend.ErrLocked) {
			t.Errorf("%s: got %q, %v", when, got, err)
		}
		if info, err := f.Stat(t.Context(), "a"); err != nil || info.Size < 3 {
			t.Errorf("%s: %+v, %v", when, info, err)
		}
		if state, _ := f.State(); state != backend.Locked {
			t.Errorf("%s: it is %s", when, state)
		}
		if n := secret.Stats().Values - before; n != 0 {
			t.Errorf("%s: %d secrets are held", when, n)
		}
	}
	if got, err := f.get("a"); err != nil || got != "one" {
		t.Fatalf("got %q, %v", got, err)
	}
	if err := f.Lock(t.Context()); err != nil {
		t.Fatal(err)
	}
	locked("locked")
	asked := f.keys.calls.Load()
	changed := f.changes.Load()
	write(t, f.file, sample(t, "other"))
	eventually(t, "the change is noticed", func() bool { return f.changes.Load() != changed })
	locked("after a change of the file")
	if err := f.Refresh(t.Context()); !errors.Is(err, backend.ErrLocked) {
		t.Errorf("refreshed: %v", err)
	}
	locked("refreshed")
	if n := f.keys.calls.Load() - asked; n != 0 {
		t.Errorf("its key was recovered %d times", n)
	}
	if err := f.Unlock(t.Context()); err != nil {
		t.Errorf("unlocking: %v", err)
	}
	if got, err := f.get("a"); err != nil || got != "other" {
		t.Errorf("unlocked: got %q, %v", got, err)
	}
}

// What cannot be opened says so.
func TestUnlockFails(t *testing.T) {
	f := newFixture(t, sample(t, "one"))
	write(t, f.keyFile, []byte("none"))
	if err := f.Unlock(t.Context()); !errors.Is(err, backend.ErrLocked) {
		t.Errorf("without a key: %v", err)
	}
	write(t, f.keyFile, []byte(ring().identity.String()))
	if err := f.Unlock(t.Context()); err != nil {
		t.Errorf("with its key: %v", err)
	}
}

// A lock in the middle of a load leaves nothing behind.
func TestLockWhileLoading(t *testing.T) {
	before := secret.Stats().Values
	for range 20 {
		f := newFixture(t, sample(t, "one"))
		done := make(chan struct{})
		go func() {
			defer close(done)
			_, _ = f.get("a")
		}()
		if err := f.Lock(t.Context()); err != nil {
			t.Fatal(err)
		}
		<-done
		time.Sleep(5 * time.Millisecond)
		if got, err := f.get("a"); !errors.Is(err, backend.ErrLocked) {
			t.Errorf("got %q, %v", got, err)
		}
		if n := secret.Stats().Values - before; n != 0 {
			t.Errorf("%d secrets are held", n)
		}
		f.Close()
	}
}
