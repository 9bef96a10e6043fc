package offline_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/secretfs/secretfs/backend"
	"github.com/secretfs/secretfs/backend/backendtest"
)

var errDown = fmt.Errorf("the test has it down: %w", backend.ErrUnavailable)

// settle lets the background work come to its end.
func settle() {
	time.Sleep(time.Second)
	synctest.Wait()
}

func TestServesAfterAReboot(t *testing.T) {
	m := newMachine(t)
	synctest.Test(t, func(t *testing.T) {
		r, _ := m.boot(t, "first")
		m.read(t, r, "a")
		settle()
	})
	m.noPlaintext()
	synctest.Test(t, func(t *testing.T) {
		r, f := m.boot(t, "second")
		f.Down(errDown)
		text, stale := m.read(t, r, "a")
		if text != "canary-value-of-a" || !errors.Is(stale, errDown) || !strings.Contains(stale.Error(), "served from the offline copy of 2000-01-01T00:00:0") {
			t.Errorf("got %q, stale: %v", text, stale)
		}
		if st := r.Status(); st.State != backend.Stale {
			t.Errorf("status: %+v", st)
		}
		if info, err := r.Stat(t.Context(), "a"); err != nil || info.Stale == nil || info.Size != int64(len(text)) {
			t.Errorf("stat: %+v, %v", info, err)
		}
		if _, err := r.Get(t.Context(), "apps/b"); !errors.Is(err, errDown) {
			t.Errorf("what was never fetched: %v", err)
		}
		time.Sleep(10 * time.Hour) // the server stays away
		for range 3 {
			text, stale := m.read(t, r, "a")
			if text != "canary-value-of-a" || stale == nil || !strings.Contains(stale.Error(), "served from the offline copy of 2000-01-01T00:00:0") {
				t.Errorf("hours later: %q, stale: %v", text, stale)
			}
			time.Sleep(time.Minute)
		}
		f.Down(nil)
		f.Memory.Put("a", "canary-newer-of-a")
		time.Sleep(time.Minute)
		if text, stale := m.read(t, r, "a"); text != "canary-newer-of-a" || stale != nil {
			t.Errorf("when it is back: %q, stale: %v", text, stale)
		}
		if st := r.Status(); st.State != backend.Ready {
			t.Errorf("status: %+v", st)
		}
	})
}

func TestAgeOfACopy(t *testing.T) {
	for _, c := range []struct {
		name        string
		maxAge      time.Duration
		boot        string
		madeAt, now time.Duration // from the beginning of time
		served      bool
	}{
		{"young", maxAge, "second", 0, 29 * 24 * time.Hour, true},
		{"too old", maxAge, "second", 0, 31 * 24 * time.Hour, false},
		{"no limit", 0, "second", 0, 10 * 365 * 24 * time.Hour, true},
		{"no clock", maxAge, "second", 20 * 365 * 24 * time.Hour, 0, true},
		{"lost while running, within max_stale", maxAge, "first", 0, maxStale - time.Minute, true},
		{"lost while running, for longer", maxAge, "first", 0, maxStale + time.Minute, false},
		{"run of the kernel unknown", maxAge, "", 0, maxStale + time.Minute, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := newMachine(t)
			m.maxAge = c.maxAge
			first := "first"
			if c.boot == "" {
				first = ""
			}
			synctest.Test(t, func(t *testing.T) {
				time.Sleep(c.madeAt)
				r, _ := m.boot(t, first)
				m.read(t, r, "a")
				settle()
			})
			synctest.Test(t, func(t *testing.T) {
				time.Sleep(c.now)
				r, f := m.boot(t, c.boot)
				f.Down(errDown)
				s, err := r.Get(t.Context(), "a")
				if served := err == nil; served != c.served || !served && !errors.Is(err, errDown) {
					t.Errorf("served: %v, %v", served, err)
				}
				if s != nil {
					s.Value.Destroy()
				}
			})
			if len(m.files()) != 1 {
				t.Error("a copy that is too old by this clock is gone: the clock may be wrong")
			}
		})
	}
}

// Only what is new is written: not each read, nor each answer.
func TestWrites(t *testing.T) {
	m := newMachine(t)
	m.timings.Default.TTL = 0 // each read asks
	synctest.Test(t, func(t *testing.T) {
		r, f := m.boot(t, "first")
		writes := func(what string, want int32) {
			t.Helper()
			settle()
			if n := m.saves.Swap(0); n != want {
				t.Errorf("%s: %d writes, want %d", what, n, want)
			}
		}
		for range 50 {
			m.read(t, r, "a")
			settle()
		}
		writes("fifty reads", 1)
		f.Memory.Put("a", "canary-newer-of-a")
		m.read(t, r, "a")
		writes("a new version", 1)
		time.Sleep(24 * time.Hour)
		m.read(t, r, "a")
		m.read(t, r, "a")
		writes("a day later", 1)
		f.Down(errDown)
		for range 5 {
			m.read(t, r, "a")
			settle()
		}
		writes("while it is down", 0)
	})
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(24 * time.Hour)
		r, f := m.boot(t, "first") // a new worker
		f.Down(errDown)
		m.read(t, r, "a")
		settle()
		if n := m.saves.Load(); n != 0 {
			t.Errorf("the next worker wrote %d times", n)
		}
	})
}

// TestNextWorkerKnowsTheCopy: an answer that is the same as the copy is not
// written again by a worker that has not made it.
func TestNextWorkerKnowsTheCopy(t *testing.T) {
	m := newMachine(t)
	synctest.Test(t, func(t *testing.T) {
		r, server := m.boot(t, "first")
		m.read(t, r, "a")
		settle()
		m.saves.Store(0)
		for _, step := range []struct {
			boot string
			want int32
		}{{"first", 0}, {"second", 1}, {"second", 0}} {
			next := backend.New(keepOpen{server}, backend.Options{
				Name: "far", Timings: m.timings, Offline: backend.Offline{Copies: m.copies(), MaxAge: maxAge, Boot: step.boot},
			})
			m.read(t, next, "a")
			settle()
			if n := m.saves.Swap(0); n != step.want {
				t.Errorf("in the %s run: %d writes, want %d", step.boot, n, step.want)
			}
			if err := next.Close(); err != nil {
				t.Error(err)
			}
		}
	})
}

// keepOpen is a server that goes on when its client closes.
type keepOpen struct{ *backendtest.Far }

// Close does nothing.
func (keepOpen) Close() error { return nil }

// An answer does not wait for the disk.
func TestDiskThatHangs(t *testing.T) {
	m := newMachine(t)
	m.hold = make(chan struct{})
	r, _ := m.boot(t, "first")
	defer close(m.hold) // Close waits for it
	for range 3 {
		for _, key := range []string{"a", "apps/b"} {
			if text, stale := m.read(t, r, key); stale != nil || text == "" {
				t.Errorf("got %q, %v", text, stale)
			}
		}
	}
}

// What the source takes back does not come back from the dead.
func TestRemoved(t *testing.T) {
	for name, take := range map[string]func(*backendtest.Far){
		"deleted":              func(f *backendtest.Far) { f.Memory.Remove("a") },
		"permission withdrawn": func(f *backendtest.Far) { f.Memory.Fail("a", fmt.Errorf("not yours: %w", backend.ErrRejected)) },
	} {
		t.Run(name, func(t *testing.T) {
			m := newMachine(t)
			synctest.Test(t, func(t *testing.T) {
				r, f := m.boot(t, "first")
				m.read(t, r, "a")
				settle()
				if len(m.files()) != 1 {
					t.Fatal("no copy")
				}
				take(f)
				time.Sleep(2 * ttl)
				if _, err := r.Get(t.Context(), "a"); err == nil {
					t.Error("still served")
				}
				settle()
				if files := m.files(); len(files) != 0 {
					t.Errorf("%v are left", files)
				}
				f.Down(errDown)
				time.Sleep(time.Minute)
				if _, err := r.Get(t.Context(), "a"); !errors.Is(err, errDown) {
					t.Error(err)
				}
			})
			synctest.Test(t, func(t *testing.T) {
				r, f := m.boot(t, "second")
				f.Down(errDown)
				if _, err := r.Get(t.Context(), "a"); !errors.Is(err, errDown) {
					t.Errorf("it is back from the dead: %v", err)
				}
			})
		})
	}
}

// Locked is locked, whatever lies on the disk.
func TestLockedServesNoCopy(t *testing.T) {
	m := newMachine(t)
	synctest.Test(t, func(t *testing.T) {
		r, f := m.boot(t, "first")
		m.read(t, r, "a")
		settle()
		f.Down(errDown)
		if err := r.Lock(t.Context()); err != nil {
			t.Fatal(err)
		}
		if _, err := r.Get(t.Context(), "a"); !errors.Is(err, backend.ErrLocked) {
			t.Error(err)
		}
		r.Unlock()
		f.Down(fmt.Errorf("no password yet: %w", backend.ErrLocked))
		if _, err := r.Get(t.Context(), "a"); !errors.Is(err, backend.ErrLocked) {
			t.Errorf("a vault that nobody has unlocked: %v", err)
		}
	})
}

// A caller with little time, as PID 1, gets the copy when a server hangs.
func TestServerThatHangs(t *testing.T) {
	m := newMachine(t)
	synctest.Test(t, func(t *testing.T) {
		r, _ := m.boot(t, "first")
		m.read(t, r, "a")
		settle()
	})
	synctest.Test(t, func(t *testing.T) {
		r, f := m.boot(t, "second")
		defer f.Memory.Hang("a")()
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		s, err := r.Get(ctx, "a")
		if err != nil {
			t.Fatal(err)
		}
		s.Value.Destroy()
		if !errors.Is(s.Stale, backend.ErrTimeout) {
			t.Errorf("stale: %v", s.Stale)
		}
	})
}

// A lease is not worth a copy.
func TestFleeting(t *testing.T) {
	m := newMachine(t)
	synctest.Test(t, func(t *testing.T) {
		f := backendtest.NewFar(m.values)
		r := backend.New(leased{f}, backend.Options{
			Name: "far", Timings: m.timings, Offline: backend.Offline{Copies: m.copies(), MaxAge: maxAge, Boot: "first"},
		})
		defer r.Close()
		release := f.Memory.Hang("a")
		var readers sync.WaitGroup
		for range 5 { // who share one fetch
			readers.Go(func() { m.read(t, r, "a") })
		}
		synctest.Wait()
		release()
		readers.Wait()
		settle()
		if files := m.files(); len(files) != 0 {
			t.Errorf("%v", files)
		}
	})
}

type leased struct{ *backendtest.Far }

// Get is that of backend.Backend.
func (l leased) Get(ctx context.Context, key string) (*backend.Secret, error) {
	s, err := l.Far.Get(ctx, key)
	if err == nil {
		s.Fleeting = true
	}
	return s, err
}

func TestDirectoryAfterAReboot(t *testing.T) {
	m := newMachine(t)
	apps := backend.DirKey("apps")
	synctest.Test(t, func(t *testing.T) {
		r, _ := m.boot(t, "first")
		m.read(t, r, apps+"/b")
		m.read(t, r, apps+"/sub/c")
		settle()
	})
	m.noPlaintext()
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(10 * 24 * time.Hour)
		r, f := m.boot(t, "second")
		f.Down(errDown)
		for range 3 {
			if text, stale := m.read(t, r, apps+"/sub/c"); text != "canary-value-of-c" || stale == nil {
				t.Errorf("got %q, stale: %v", text, stale)
			}
			if entries, err := r.List(t.Context(), apps); err != nil || len(entries) != 2 {
				t.Errorf("listed %v, %v", entries, err)
			}
			time.Sleep(2 * maxStale)
		}
		f.Down(nil)
		f.Memory.Remove("apps/b")
		time.Sleep(time.Minute)
		if entries, err := r.List(t.Context(), apps); err != nil || len(entries) != 1 {
			t.Errorf("when it is back: %v, %v", entries, err)
		}
		settle()
	})
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(20 * 24 * time.Hour)
		r, f := m.boot(t, "third")
		f.Down(errDown)
		if _, err := r.Get(t.Context(), apps+"/b"); !errors.Is(err, backend.ErrNotFound) {
			t.Errorf("removed while we listed: %v", err)
		}
		if _, err := r.Get(t.Context(), "apps/b"); !errors.Is(err, errDown) {
			t.Errorf("the value itself: %v", err)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(400 * 24 * time.Hour)
		r, f := m.boot(t, "fourth")
		f.Down(errDown)
		if entries, err := r.List(t.Context(), apps); !errors.Is(err, errDown) {
			t.Errorf("too old: %v, %v", entries, err)
		}
	})
}

// Without max_stale nothing in memory is served; what the copy has goes on being
// shown all the same.
func TestDirectoryWithoutMaxStale(t *testing.T) {
	m := newMachine(t)
	m.timings.Default.MaxStale = 0
	apps := backend.DirKey("apps")
	synctest.Test(t, func(t *testing.T) {
		r, _ := m.boot(t, "first")
		m.read(t, r, apps+"/b")
		settle()
	})
	synctest.Test(t, func(t *testing.T) {
		r, f := m.boot(t, "second")
		f.Down(errDown)
		for range 200 {
			if entries, err := r.List(t.Context(), apps); err != nil || len(entries) != 2 {
				t.Fatalf("listed %v, %v", entries, err)
			}
			if text, _ := m.read(t, r, apps+"/b"); text != "canary-value-of-b" {
				t.Fatalf("got %q", text)
			}
			time.Sleep(700 * time.Millisecond)
		}
	})
}

func TestRetain(t *testing.T) {
	m := newMachine(t)
	apps := backend.DirKey("apps")
	synctest.Test(t, func(t *testing.T) {
		r, _ := m.boot(t, "first")
		for _, key := range []string{"a", apps + "/b", apps + "/sub/c"} {
			m.read(t, r, key)
		}
		settle()
		if n := len(m.files()); n != 5 { // three values, two places
			t.Fatalf("%d copies", n)
		}
	})
	for _, step := range []struct {
		keys []string
		want int
	}{{[]string{"a", apps}, 5}, {[]string{apps}, 4}, {[]string{"apps/b"}, 1}, {nil, 0}} {
		synctest.Test(t, func(t *testing.T) {
			r, f := m.boot(t, "second")
			f.Down(errDown)
			r.Retain(step.keys)
			settle()
			if n := len(m.files()); n != step.want {
				t.Errorf("%q: %d copies, want %d", step.keys, n, step.want)
			}
		})
	}
}
