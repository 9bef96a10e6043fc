package backend_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/secretfs/secretfs/backend"
	"github.com/secretfs/secretfs/backend/backendtest"
	"github.com/secretfs/secretfs/backend/secret"
)

const timeout = 5 * time.Second

func resolver(b backend.Backend) *backend.Resolver {
	return backend.New(b, backend.Options{Name: "main", Timeout: timeout})
}

// A reader calls Get in the background.
type answer struct {
	secret *backend.Secret
	err    error
}

func ask(ctx context.Context, r *backend.Resolver, key string) <-chan answer {
	c := make(chan answer, 1)
	go func() {
		s, err := r.Get(ctx, key)
		c <- answer{s, err}
	}()
	return c
}

func wantErr(t *testing.T, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("got %v, want %v", err, want)
	}
}

func TestAThousandReadersOneFetch(t *testing.T) {
	before := secret.Stats()
	synctest.Test(t, func(t *testing.T) {
		m := backendtest.NewMemory(map[string]string{"k": "plaintext"})
		release := m.Hang("k")
		r := resolver(m)
		var answers []<-chan answer
		for range 1000 {
			answers = append(answers, ask(t.Context(), r, "k"))
		}
		synctest.Wait()
		release()
		var got []*backend.Secret
		for _, c := range answers {
			a := <-c
			if a.err != nil {
				t.Fatal(a.err)
			}
			got = append(got, a.secret)
		}
		for i, s := range got { // each destroys its own, the others keep theirs
			if string(s.Value.Bytes()) != "plaintext" || s.Version != got[0].Version {
				t.Fatalf("reader %d has another value", i)
			}
			s.Value.Destroy()
		}
		if n := m.Gets("k"); n != 1 {
			t.Errorf("%d fetches", n)
		}
	})
	if after := secret.Stats(); after.Values != before.Values {
		t.Errorf("values left: %+v before, %+v after", before, after)
	}
}

func TestDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := backendtest.NewMemory(map[string]string{"stuck": "x", "fine": "y"})
		release := m.Hang("stuck")
		r := resolver(m)
		start := time.Now()
		stuck := ask(t.Context(), r, "stuck")
		synctest.Wait()
		s, err := r.Get(t.Context(), "fine")
		if err != nil || time.Since(start) != 0 {
			t.Fatalf("another key waited %s: %v", time.Since(start), err)
		}
		s.Value.Destroy()
		a := <-stuck
		wantErr(t, a.err, backend.ErrTimeout)
		if want := `backend "main": no answer for "stuck" within 5s: too slow`; a.err.Error() != want {
			t.Errorf("got %q want %q", a.err, want)
		}
		if waited := time.Since(start); waited != timeout {
			t.Errorf("waited %s", waited)
		}
		release() // the late answer is wiped
		synctest.Wait()
	})
}

func TestCallersDeadlineIsTheShorter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := backendtest.NewMemory(map[string]string{"k": "x"})
		release := m.Hang("k")
		r := resolver(m)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start := time.Now()
		_, err := r.Get(ctx, "k")
		wantErr(t, err, backend.ErrTimeout)
		if waited := time.Since(start); waited != time.Second {
			t.Errorf("waited %s", waited)
		}
		release()
		synctest.Wait()
	})
}

func TestCancelLeavesTheFlightToOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := backendtest.NewMemory(map[string]string{"k": "x"})
		release := m.Hang("k")
		r := resolver(m)
		ctx, cancel := context.WithCancel(t.Context())
		leaves, stays := ask(ctx, r, "k"), ask(t.Context(), r, "k")
		synctest.Wait()
		start := time.Now()
		cancel()
		wantErr(t, (<-leaves).err, context.Canceled)
		if time.Since(start) != 0 {
			t.Error("cancelling took time")
		}
		release()
		a := <-stays
		if a.err != nil {
			t.Fatal(a.err)
		}
		a.secret.Value.Destroy()
		_, err := r.Get(ctx, "k")
		wantErr(t, err, context.Canceled)
		if m.Gets("k") != 1 {
			t.Errorf("%d fetches", m.Gets("k"))
		}
	})
}

// waiting is a backend that honours its context, and says so.
type waiting struct{ ended chan error }

func (w waiting) Get(ctx context.Context, _ string) (*backend.Secret, error) {
	<-ctx.Done()
	w.ended <- ctx.Err()
	return nil, ctx.Err()
}
func (w waiting) Close() error { return nil }

func TestFlightEndsWithItsLastReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := waiting{make(chan error, 3)}
		r := resolver(w)
		ctx, cancel := context.WithCancel(t.Context())
		a, b := ask(ctx, r, "k"), ask(ctx, r, "k")
		synctest.Wait()
		start := time.Now()
		cancel()
		<-a
		<-b
		wantErr(t, <-w.ended, context.Canceled)
		if time.Since(start) != 0 {
			t.Error("the flight went on without readers")
		}
		// Its end is neither an outage nor an answer to whoever comes next.
		_, err := r.Get(t.Context(), "k")
		wantErr(t, err, backend.ErrTimeout)
		if st := r.Status(); st.State != backend.Failed {
			t.Errorf("status %+v", st)
		}
	})
}

func TestDetachedCallsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		values := map[string]string{}
		for i := range 41 {
			values[fmt.Sprint(i)] = "x"
		}
		m := backendtest.NewMemory(values)
		r := resolver(m)
		var releases []func()
		var waits []<-chan answer
		ctx, cancel := context.WithCancel(t.Context())
		for i := range 40 { // more than 32 may be under way
			releases = append(releases, m.Hang(fmt.Sprint(i)))
			waits = append(waits, ask(ctx, r, fmt.Sprint(i)))
		}
		synctest.Wait()
		cancel() // the readers go, the calls do not come back
		for _, w := range waits {
			<-w
		}
		_, err := r.Get(t.Context(), "40")
		wantErr(t, err, backend.ErrTimeout)
		if m.Gets("40") != 0 {
			t.Error("one more call was made")
		}
		for _, release := range releases {
			release()
		}
		synctest.Wait()
		s, err := r.Get(t.Context(), "40")
		if err != nil {
			t.Fatalf("after the calls came back: %v", err)
		}
		s.Value.Destroy()
	})
}

func TestBreaker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := backendtest.NewMemory(map[string]string{"k": "x"})
		r := resolver(struct{ backend.Backend }{m})
		down := fmt.Errorf("asking vault.example: %w", backend.ErrUnavailable)
		m.Fail("k", down)
		fails := func(wantGets int) string {
			t.Helper()
			_, err := r.Get(t.Context(), "k")
			wantErr(t, err, backend.ErrUnavailable)
			if m.Gets("k") != wantGets {
				t.Errorf("%d calls, want %d: %v", m.Gets("k"), wantGets, err)
			}
			return err.Error()
		}
		for i := range 3 {
			fails(i + 1)
		}
		if text := fails(3); text != `backend "main": asking vault.example: not reachable (not asked again for 1s)` {
			t.Errorf("text %q", text)
		}
		if st := r.Status(); st.State != backend.Failed || !errors.Is(st.Err, backend.ErrUnavailable) {
			t.Errorf("status %+v", st)
		}
		// Each failed probe doubles the pause, up to 30 s.
		pause := time.Second
		for probes := 4; probes < 12; probes++ {
			time.Sleep(pause/2 - time.Millisecond)
			fails(probes - 1)
			time.Sleep(pause)
			fails(probes)
			pause = min(2*pause, 30*time.Second)
		}
		time.Sleep(pause)
		m.Fail("k", nil)
		s, err := r.Get(t.Context(), "k")
		if err != nil {
			t.Fatal(err)
		}
		s.Value.Destroy()
		if st := r.Status(); st.State != backend.Ready || st.Err != nil || !st.LastSuccess.Equal(time.Now()) {
			t.Errorf("status %+v", st)
		}
		m.Fail("k", down)
		fails(13) // the count began anew
		fails(14)
	})
}

func TestOneProbeAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := backendtest.NewMemory(map[string]string{"k": "x", "other": "y"})
		r := resolver(m)
		m.Fail("k", backend.ErrTimeout)
		for range 3 {
			_, err := r.Get(t.Context(), "k")
			wantErr(t, err, backend.ErrTimeout)
		}
		time.Sleep(time.Second)
		m.Fail("k", nil)
		release := m.Hang("k")
		probe := ask(t.Context(), r, "k")
		synctest.Wait()
		_, err := r.Get(t.Context(), "other")
		if err == nil || !strings.Contains(err.Error(), "being tried again now") || m.Gets("other") != 0 {
			t.Errorf("a second request went out beside the probe: %v", err)
		}
		release()
		a := <-probe
		if a.err != nil {
			t.Fatal(a.err)
		}
		a.secret.Value.Destroy()
		s, err := r.Get(t.Context(), "other")
		if err != nil {
			t.Fatal(err)
		}
		s.Value.Destroy()
	})
}

func TestAnAbandonedProbeDoesNotBlockTheNext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := waiting{make(chan error, 8)}
		r := resolver(w)
		for range 3 {
			_, err := r.Get(t.Context(), "k")
			wantErr(t, err, backend.ErrTimeout)
		}
		time.Sleep(time.Second)
		ctx, cancel := context.WithCancel(t.Context())
		probe := ask(ctx, r, "k")
		synctest.Wait()
		cancel()
		<-probe
		synctest.Wait()
		start := time.Now()
		_, err := r.Get(t.Context(), "k")
		wantErr(t, err, backend.ErrTimeout)
		if time.Since(start) != timeout {
			t.Errorf("no probe was made: %v", err)
		}
	})
}

func TestOtherErrorsDoNotTrip(t *testing.T) {
	for _, kind := range []error{backend.ErrNotFound, backend.ErrLocked, backend.ErrRejected, backend.ErrExpired, backend.ErrCorrupt, backend.ErrUnsupported} {
		m := backendtest.NewMemory(nil)
		r := resolver(m)
		m.Fail("k", kind)
		for range 10 {
			_, err := r.Get(t.Context(), "k")
			wantErr(t, err, kind)
		}
		if m.Gets("k") != 10 {
			t.Errorf("%v: %d calls of 10", kind, m.Gets("k"))
		}
	}
}

func TestAChangeEndsThePause(t *testing.T) {
	m := backendtest.NewMemory(nil)
	r := resolver(m)
	told := 0
	r.Notify(func() { told++ })
	m.Fail("k", backend.ErrUnavailable)
	for range 4 {
		_, err := r.Get(t.Context(), "k")
		wantErr(t, err, backend.ErrUnavailable)
	}
	m.Fail("k", nil)
	m.Put("k", "appeared")
	s, err := r.Get(t.Context(), "k")
	if err != nil || told != 1 {
		t.Fatalf("told %d times: %v", told, err)
	}
	s.Value.Destroy()
}

type panicking struct{}

func (panicking) Get(_ context.Context, key string) (*backend.Secret, error) {
	if key == "runtime" {
		var none []int
		_ = none[len(key)]
	}
	panic("canary plaintext")
}
func (panicking) Close() error { return nil }

func TestPanicStaysWithItsKey(t *testing.T) {
	r := resolver(panicking{})
	_, err := r.Get(t.Context(), "k")
	if err == nil || strings.Contains(err.Error(), "canary") || !strings.Contains(err.Error(), `mistake in the driver while fetching "k"`) {
		t.Errorf("got %v", err)
	}
	if _, err := r.Get(t.Context(), "runtime"); err == nil || !strings.Contains(err.Error(), "index out of range") {
		t.Errorf("got %v", err)
	}
}

func TestStatWithoutIndex(t *testing.T) {
	m := backendtest.NewMemory(map[string]string{"k": "12345"})
	r := resolver(struct{ backend.Backend }{m})
	if info, err := r.Stat(t.Context(), "k"); err != nil || info.Size != backend.SizeUnknown {
		t.Errorf("before: %+v %v", info, err)
	}
	s, err := r.Get(t.Context(), "k")
	if err != nil {
		t.Fatal(err)
	}
	defer s.Value.Destroy()
	if info, err := r.Stat(t.Context(), "k"); err != nil || info.Size != 5 || info.Version != s.Version {
		t.Errorf("after: %+v %v", info, err)
	}
	_, err = r.List(t.Context(), "")
	wantErr(t, err, backend.ErrUnsupported)
}

func TestStates(t *testing.T) {
	m := backendtest.NewMemory(map[string]string{"k": "x"})
	r := resolver(m)
	if st := r.Status(); st.State != backend.Unread || st.Name != "main" {
		t.Errorf("at first: %+v", st)
	}
	for _, c := range []struct {
		err  error
		want backend.State
	}{{nil, backend.Ready}, {backend.ErrLocked, backend.Locked}, {backend.ErrNotFound, backend.Ready}, {backend.ErrCorrupt, backend.Failed}} {
		m.Fail("k", c.err)
		if s, err := r.Get(t.Context(), "k"); err == nil {
			s.Value.Destroy()
		}
		if st := r.Status(); st.State != c.want || (st.Err == nil) != (c.want == backend.Ready) {
			t.Errorf("after %v: %+v", c.err, st)
		}
	}
}

func TestCloseEndsReaders(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := backendtest.NewMemory(map[string]string{"k": "x"})
		release := m.Hang("k")
		r := resolver(m)
		waiter := ask(t.Context(), r, "k")
		synctest.Wait()
		if err := r.Close(); err != nil {
			t.Error(err)
		}
		wantErr(t, (<-waiter).err, backend.ErrUnavailable)
		_, err := r.Get(t.Context(), "k")
		wantErr(t, err, backend.ErrUnavailable)
		release()
		synctest.Wait()
	})
}

func BenchmarkGet(b *testing.B) {
	r := resolver(backendtest.NewMemory(map[string]string{"k": "x"}))
	b.ReportAllocs()
	for b.Loop() {
		s, err := r.Get(b.Context(), "k")
		if err != nil {
			b.Fatal(err)
		}
		s.Value.Destroy()
	}
}

// TestAlone: a secret that cannot be had by itself stops nobody from being asked
// for another one.
func TestAlone(t *testing.T) {
	m := backendtest.NewMemory(map[string]string{"a": "canary-a-000001", "b": "canary-b-000002"})
	r := backend.New(m, backend.Options{Name: "files"})
	defer r.Close()
	m.Fail("a", backend.Alone(fmt.Errorf("reading a: %w", backend.ErrUnavailable)))
	for range 10 {
		if _, err := r.Get(t.Context(), "a"); !errors.Is(err, backend.ErrUnavailable) || strings.Contains(err.Error(), "not asked again") {
			t.Fatal(err)
		}
	}
	if st := r.Status(); st.State != backend.Ready || st.Err != nil {
		t.Errorf("the backend is %s, %v", st.State, st.Err)
	}
	s, err := r.Get(t.Context(), "b")
	if err != nil {
		t.Fatal(err)
	}
	s.Value.Destroy()
}
