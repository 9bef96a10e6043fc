package backendtest

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/secretfs/secretfs/backend"
)

// little is a reader's time in testDeadline.
const little = 300 * time.Millisecond

func testDenied(t *testing.T, f Fixture) {
	b, key := f.Denied(t)
	defer closeOnce(t, b)
	s, err := b.Get(limited(t), key)
	refused(t, f, s, err, backend.ErrRejected)
}

// testDeadline has the source take a request and not answer.
func testDeadline(t *testing.T, f Fixture) {
	srv := server(t, f.Slow)
	srv.Stall()
	ctx, cancel := context.WithTimeout(context.Background(), little)
	defer cancel()
	start := time.Now()
	s, err := srv.Backend.Get(ctx, srv.Key)
	if took := time.Since(start); took > little+5*time.Second {
		t.Errorf("went on for %v after its deadline", took)
	}
	if s != nil {
		t.Error("a secret came from a source that does not answer")
		s.Value.Destroy()
	}
	if err == nil || !errors.Is(err, backend.ErrTimeout) && !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v, want %v", err, backend.ErrTimeout)
	}
	if err != nil {
		quotesNothing(t, f, err)
	}
	srv.Mend()
	recovers(t, f, srv)
}

// testOutage takes the source away before the first answer, and after it.
func testOutage(t *testing.T, f Fixture) {
	srv := server(t, f.Server)
	srv.Cut()
	s, err := srv.Backend.Get(limited(t), srv.Key)
	refused(t, f, s, err, backend.ErrUnavailable)
	if alone := backend.IsAlone(err); alone != srv.Alone {
		t.Errorf("%v is said to concern one secret alone: %v, want %v", err, alone, srv.Alone)
	}
	srv.Mend()
	recovers(t, f, srv)
	srv.Cut()
	s, err = srv.Backend.Get(limited(t), srv.Key)
	switch {
	case err != nil:
		refused(t, f, s, err, backend.ErrUnavailable)
	case s.Stale == nil:
		t.Error("a value is not said to be stale although its source is away")
		s.Value.Destroy()
	default:
		if string(s.Value.Bytes()) != f.Secrets[srv.Key] {
			t.Error("the last good value is another")
		}
		quotesNothing(t, f, s.Stale)
		s.Value.Destroy()
	}
	srv.Mend()
	recovers(t, f, srv)
}

func server(t *testing.T, open func(*testing.T) Server) Server {
	srv := open(t)
	t.Cleanup(func() { closeOnce(t, srv.Backend) })
	return srv
}

// recovers waits for a fresh value. It asks on and says that it would like to have
// it now, as people do: a backend may leave its server alone for a while.
func recovers(t *testing.T, f Fixture, srv Server) {
	t.Helper()
	var last error
	for ctx := limited(t); ctx.Err() == nil; time.Sleep(50 * time.Millisecond) {
		if rf, ok := srv.Backend.(backend.Refresher); ok {
			_ = rf.Refresh(ctx) // Get says what is wrong
		}
		s, err := srv.Backend.Get(ctx, srv.Key)
		if last = err; err != nil {
			quotesNothing(t, f, err)
			continue
		}
		text, stale := string(s.Value.Bytes()), s.Stale
		s.Value.Destroy()
		if text != f.Secrets[srv.Key] {
			t.Fatal("the value is another when the source is back")
		}
		if last = stale; stale == nil {
			return
		}
	}
	t.Fatalf("does not recover: %v", last)
}
