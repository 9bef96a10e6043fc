package backend_test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/secretfs/secretfs/backend"
	"github.com/secretfs/secretfs/backend/backendtest"
)

// A far backend is a Memory whose values lie elsewhere: it knows none of them
// before it is asked.
type far struct {
	memory *backendtest.Memory
	polls  bool
}

func (f far) Get(ctx context.Context, key string) (*backend.Secret, error) {
	return f.memory.Get(ctx, key)
}
func (f far) Close() error { return f.memory.Close() }
func (f far) Polls() bool  { return f.polls }

const (
	ttl      = time.Minute
	maxStale = time.Hour
)

var (
	minuteHour = backend.Timings{Default: backend.Timing{TTL: ttl, MaxStale: maxStale}}
	errDown    = fmt.Errorf("the test has it down: %w", backend.ErrUnavailable)
)

func remote(t *testing.T, o backend.Options, polls bool) (*backend.Resolver, *backendtest.Memory) {
	t.Helper()
	m := backendtest.NewMemory(map[string]string{"a": "value of a", "b": "value of b"})
	r := backend.New(far{m, polls}, o)
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
	return r, m
}

// read gets a value as text, and whether it is a stale one.
func read(t *testing.T, r *backend.Resolver, key string) (text string, stale bool) {
	t.Helper()
	s, err := r.Get(t.Context(), key)
	if err != nil {
		t.Fatalf("%s: %v", key, err)
	}
	defer s.Value.Destroy()
	return string(s.Value.Bytes()), s.Stale != nil
}

func TestCacheAsksOnceInItsTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, m := remote(t, backend.Options{Name: "far", Timings: minuteHour}, false)
		for range 10 {
			if text, stale := read(t, r, "a"); text != "value of a" || stale {
				t.Fatalf("got %q, stale %v", text, stale)
			}
		}
		if n := m.Gets("a"); n != 1 {
			t.Errorf("asked %d times within the ttl", n)
		}
		m.Put("a", "another")
		time.Sleep(ttl)
		if info, _ := r.Stat(t.Context(), "a"); !info.Due || info.Version == "" {
			t.Errorf("after the ttl stat says %+v", info)
		}
		if text, _ := read(t, r, "a"); text != "another" {
			t.Errorf("after the ttl: %q", text)
		}
	})
}

func TestCacheWithoutTTLAsksAlways(t *testing.T) {
	r, m := remote(t, backend.Options{Name: "far"}, false)
	for range 3 {
		read(t, r, "a")
	}
	if n := m.Gets("a"); n != 3 {
		t.Errorf("asked %d times in 3 reads", n)
	}
}

func TestCacheTimingOfOneSecret(t *testing.T) {
	timings := minuteHour
	timings.ByKey = map[string]backend.Timing{"a": {}}
	r, m := remote(t, backend.Options{Name: "far", Timings: timings}, false)
	for range 3 {
		read(t, r, "a")
		read(t, r, "b")
	}
	if a, b := m.Gets("a"), m.Gets("b"); a != 3 || b != 1 {
		t.Errorf("a was asked for %d times, b %d times", a, b)
	}
}

func TestCacheServesTheLastGoodValue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, m := remote(t, backend.Options{Name: "far", Timings: minuteHour}, false)
		read(t, r, "a")
		m.Fail("a", errDown)
		time.Sleep(2 * ttl)
		for range 5 {
			if text, stale := read(t, r, "a"); text != "value of a" || !stale {
				t.Fatalf("while it is down: %q, stale %v", text, stale)
			}
		}
		if n := m.Gets("a"); n != 2 {
			t.Errorf("asked %d times, once before and once while it is down expected", n)
		}
		if st := r.Status(); st.State != backend.Stale || !errors.Is(st.Err, errDown) {
			t.Errorf("status: %v, %v", st.State, st.Err)
		}
		if info, _ := r.Stat(t.Context(), "a"); info.Stale == nil {
			t.Errorf("stat does not say that it is stale: %+v", info)
		}
		m.Fail("a", nil)
		time.Sleep(ttl)
		if _, stale := read(t, r, "a"); stale {
			t.Error("still stale when it is back")
		}
		m.Fail("a", errDown)
		time.Sleep(maxStale + ttl)
		if s, err := r.Get(t.Context(), "a"); !errors.Is(err, errDown) {
			s.Value.Destroy()
			t.Errorf("after max_stale: %v", err)
		}
	})
}

// What the source has taken back is not served, however young it is.
func TestCacheForgetsWhatIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, m := remote(t, backend.Options{Name: "far", Timings: minuteHour}, false)
		read(t, r, "a")
		m.Fail("a", fmt.Errorf("withdrawn: %w", backend.ErrRejected))
		time.Sleep(ttl)
		for range 20 { // at once, as a service that keeps crashing does
			if _, err := r.Get(t.Context(), "a"); !errors.Is(err, backend.ErrRejected) {
				t.Fatal(err)
			}
		}
		if n := m.Gets("a"); n != 2 {
			t.Errorf("asked %d times, 2 expected", n)
		}
		if info, err := r.Stat(t.Context(), "a"); err != nil || !errors.Is(info.Err, backend.ErrRejected) {
			t.Errorf("stat: %+v, %v, want what the source has said", info, err)
		}
		m.Fail("a", errDown)
		time.Sleep(ttl)
		if _, err := r.Get(t.Context(), "a"); !errors.Is(err, errDown) {
			t.Errorf("what was withdrawn is served when the source is down: %v", err)
		}
	})
}

func TestCachePolls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, m := remote(t, backend.Options{Name: "far", Timings: minuteHour}, true)
		var changes atomic.Int32
		r.Notify(func() { changes.Add(1) })
		read(t, r, "a")
		time.Sleep(3 * ttl)
		if n := m.Gets("a"); n < 3 || n > 5 || changes.Load() != 0 {
			t.Errorf("asked %d times in three minutes, told of %d changes", n, changes.Load())
		}
		m.Put("a", "rotated")
		time.Sleep(2 * ttl)
		if n := changes.Load(); n != 1 {
			t.Errorf("told of %d changes, expected one", n)
		}
		m.Fail("a", errDown)
		time.Sleep(10 * ttl)
		if n := changes.Load(); n != 2 {
			t.Errorf("told %d times, expected one more when it went down", n)
		}
	})
}

func TestCacheOutlivesItsProcess(t *testing.T) {
	var left backend.Legacy
	synctest.Test(t, func(t *testing.T) {
		save := func(l backend.Legacy) { left.Keys.Destroy(); left = l }
		r, _ := remote(t, backend.Options{Name: "far", Timings: minuteHour, Slot: backend.Slot{Save: save}}, false)
		read(t, r, "a")
		read(t, r, "b")
		time.Sleep(time.Second)
	})
	defer left.Keys.Destroy()
	synctest.Test(t, func(t *testing.T) {
		r, m := remote(t, backend.Options{Name: "far", Timings: minuteHour, Slot: backend.Slot{Saved: left}}, false)
		m.Fail("a", errDown)
		if text, _ := read(t, r, "a"); text != "value of a" || m.Gets("a") != 0 {
			t.Errorf("the next process has %q and asked %d times", text, m.Gets("a"))
		}
	})
	torn := backend.Legacy{Keys: left.Keys, Rest: []byte(`[{"key":"a","len":99999}]`)}
	r, m := remote(t, backend.Options{Name: "far", Timings: minuteHour, Slot: backend.Slot{Saved: torn}}, false)
	if read(t, r, "a"); m.Gets("a") != 1 {
		t.Error("parts that do not belong together were used")
	}
}

func TestLock(t *testing.T) {
	r, m := remote(t, backend.Options{Name: "far", Timings: minuteHour}, false)
	read(t, r, "a")
	if err := r.Lock(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Get(t.Context(), "a"); !errors.Is(err, backend.ErrLocked) {
		t.Errorf("locked: %v", err)
	}
	if st := r.Status(); st.State != backend.Locked {
		t.Errorf("status: %v", st.State)
	}
	r.Unlock()
	read(t, r, "a")
	if n := m.Gets("a"); n != 2 {
		t.Errorf("asked %d times: a locked backend must forget its values", n)
	}
}

// Nobody may go on to serve a version of a locked backend.
func TestLockedVersions(t *testing.T) {
	m := backendtest.NewMemory(map[string]string{"a": "value of a"})
	r := backend.New(m, backend.Options{Name: "near"})
	defer r.Close()
	for _, locked := range []bool{false, true} {
		if locked {
			if err := r.Lock(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		info, err := r.Stat(t.Context(), "a")
		if err != nil || info.Version == "" || info.Due != locked {
			t.Errorf("locked %v: %+v, %v", locked, info, err)
		}
	}
}

// A fetch that was under way when the backend was locked hands out nothing.
func TestLockMeanwhile(t *testing.T) {
	r, m := remote(t, backend.Options{Name: "far", Timings: minuteHour}, false)
	release := m.Hang("a")
	got := make(chan error, 1)
	go func() {
		s, err := r.Get(context.Background(), "a")
		if err == nil {
			s.Value.Destroy()
		}
		got <- err
	}()
	for m.Gets("a") == 0 {
		time.Sleep(time.Millisecond)
	}
	if err := r.Lock(t.Context()); err != nil {
		t.Fatal(err)
	}
	release()
	if err := <-got; !errors.Is(err, backend.ErrLocked) {
		t.Errorf("got %v", err)
	}
}

// What was locked in one process is so in the next.
func TestLockedFromTheStart(t *testing.T) {
	m := backendtest.NewMemory(map[string]string{"a": "value of a"})
	r := backend.New(m, backend.Options{Name: "near", Locked: true})
	defer r.Close()
	if _, err := r.Get(t.Context(), "a"); !errors.Is(err, backend.ErrLocked) || m.Gets("a") != 0 {
		t.Errorf("asked %d times: %v", m.Gets("a"), err)
	}
	if known, err := r.Try(t.Context()); !known || !errors.Is(err, backend.ErrLocked) {
		t.Errorf("trying it: %v, %v", known, err)
	}
	r.Unlock()
	if known, err := r.Try(t.Context()); known || err != nil {
		t.Errorf("trying one that cannot tell: %v, %v", known, err)
	}
	if s, err := r.Get(t.Context(), "a"); err != nil {
		t.Error(err)
	} else {
		s.Value.Destroy()
	}
}

func TestAwait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, m := remote(t, backend.Options{Name: "far", Timings: minuteHour}, false)
		m.Fail("a", errDown)
		time.AfterFunc(5*time.Second, func() { m.Fail("a", nil) })
		s, err := r.Await(t.Context(), "a", 2*time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		s.Value.Destroy()
		m.Fail("b", errDown)
		start := time.Now()
		if _, err := r.Await(t.Context(), "b", 10*time.Second); !errors.Is(err, errDown) || time.Since(start) != 10*time.Second {
			t.Errorf("after %v: %v", time.Since(start), err)
		}
		if _, err := r.Await(t.Context(), "nothing", time.Minute); !errors.Is(err, backend.ErrNotFound) {
			t.Error(err)
		}
	})
}

func TestInFlight(t *testing.T) {
	r, m := remote(t, backend.Options{Name: "far", InFlight: 1, Timeout: time.Hour}, false)
	release := m.Hang("a")
	first := make(chan error, 1)
	go func() {
		s, err := r.Get(context.Background(), "a")
		if err == nil {
			s.Value.Destroy()
		}
		first <- err
	}()
	for m.Gets("a") == 0 {
		time.Sleep(time.Millisecond)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := r.Get(ctx, "b"); !errors.Is(err, backend.ErrTimeout) || m.Gets("b") != 0 {
		t.Errorf("a second fetch beside the one allowed: %v, %d", err, m.Gets("b"))
	}
	release()
	if err := <-first; err != nil {
		t.Error(err)
	}
	read(t, r, "b")
}
