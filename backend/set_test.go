package backend_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/secretfs/secretfs/backend"
	"github.com/secretfs/secretfs/backend/backendtest"
)

func named(b backend.Backend, name string) *backend.Resolver {
	return backend.New(b, backend.Options{Name: name, Timeout: timeout})
}

func TestSet(t *testing.T) {
	a, b := backendtest.NewMemory(nil), backendtest.NewMemory(nil)
	s, err := backend.NewSet(named(b, "b"), named(a, "a"))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, r := range s.All() {
		names = append(names, r.Name())
	}
	if !slices.Equal(names, []string{"a", "b"}) {
		t.Errorf("not sorted: %q", names)
	}
	if r, ok := s.Lookup("b"); !ok || r.Name() != "b" {
		t.Error("b is not found")
	}
	if _, ok := s.Lookup("c"); ok {
		t.Error("c is found")
	}
	var changed []string
	s.Notify(func(name string) { changed = append(changed, name) })
	b.Put("k", "x")
	a.Put("k", "x")
	if !slices.Equal(changed, []string{"b", "a"}) {
		t.Errorf("told of %q", changed)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if _, err := a.Get(t.Context(), "k"); !errors.Is(err, backend.ErrUnavailable) {
		t.Errorf("not closed: %v", err)
	}
	if _, err := backend.NewSet(named(a, "a"), named(b, "a")); err == nil {
		t.Error("two of one name are accepted")
	}
}

// deaf does not come back from Close.
type deaf struct{ until chan struct{} }

func (deaf) Get(context.Context, string) (*backend.Secret, error) { return nil, backend.ErrTimeout }

func (d deaf) Close() error {
	<-d.until
	return nil
}

func TestAStuckBackendDoesNotDelayTheOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stuck, fine := deaf{make(chan struct{})}, backendtest.NewMemory(map[string]string{"k": "x"})
		s, err := backend.NewSet(named(stuck, "stuck"), named(fine, "fine"))
		if err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		ended := make(chan error, 1)
		go func() { ended <- s.Close() }()
		synctest.Wait()
		if _, err := fine.Get(t.Context(), "k"); !errors.Is(err, backend.ErrUnavailable) {
			t.Errorf("the other is not closed at once: %v", err)
		}
		wantErr(t, <-ended, backend.ErrTimeout)
		if waited := time.Since(start); waited != timeout {
			t.Errorf("closing took %s", waited)
		}
		close(stuck.until)
	})
}
