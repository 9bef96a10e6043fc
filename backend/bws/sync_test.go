package bws_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/secretfs/secretfs/backend"
	"github.com/secretfs/secretfs/backend/bws"
)

// Everything that happens in an hour without changes costs one login and a
// question each TTL, and no value moves.
func TestQuietHour(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite()
		b := s.open(t)
		for range 3600 / 5 {
			reads(t, b, tokenKey, tokenValue, false)
			reads(t, b, dbKey, dbValue, false)
			time.Sleep(5 * time.Second)
		}
		login, sync, whole := s.Seen("login"), s.Seen("sync"), s.Seen("whole")
		if login > 2 || sync < 12 || sync > 15 || whole > 2 { // the second time, as the secrets are younger than overlap
			t.Errorf("%d logins, %d questions, %d answered with everything", login, sync, whole)
		}
		b.Close()
	})
}

// The clocks of server and machine need not agree, nor need the server's stand
// where it stood.
func TestClocks(t *testing.T) {
	for _, skew := range []time.Duration{-24 * time.Hour, 24 * time.Hour} {
		synctest.Test(t, func(t *testing.T) {
			s := newSite()
			s.SetClock(skew)
			s.Change(s.token, "token", tokenValue, "") // by that clock
			b := s.open(t)
			reads(t, b, tokenKey, tokenValue, false)
			time.Sleep(time.Hour)
			reads(t, b, tokenKey, tokenValue, false)
			if login, whole := s.Seen("login"), s.Seen("whole"); login > 2 || whole > 2 {
				t.Errorf("%s: %d logins, %d answered with everything", skew, login, whole)
			}
			b.Close()
		})
	}
	synctest.Test(t, func(t *testing.T) {
		s := newSite()
		s.SetClock(time.Hour)
		b := s.open(t)
		version := reads(t, b, tokenKey, tokenValue, false)
		s.SetClock(-time.Hour)
		time.Sleep(bws.TTL)
		if reads(t, b, tokenKey, tokenValue, false) != version {
			t.Error("another version")
		}
		if s.Seen("whole") != 2 {
			t.Errorf("%d answers with everything", s.Seen("whole"))
		}
		b.Close()
	})
}

func TestChangesAreNoticed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite()
		b := s.open(t)
		var told atomic.Int32
		b.Notify(func() { told.Add(1) })
		first := reads(t, b, tokenKey, tokenValue, false)
		dbFirst := reads(t, b, dbKey, dbValue, false)
		told.Store(0)

		time.Sleep(time.Minute)
		s.Change(s.token, "token", "a-new-token-value", "")
		s.Change(s.db, "db/password", dbValue, "only the note is new")
		time.Sleep(bws.TTL + time.Second)
		if told.Load() == 0 {
			t.Error("nobody was told")
		}
		if second := reads(t, b, tokenKey, "a-new-token-value", false); second == first {
			t.Error("another value, the same version")
		}
		if reads(t, b, dbKey, dbValue, false) != dbFirst {
			t.Error("the same value, another version")
		}
		told.Store(0)
		time.Sleep(time.Hour)
		if told.Load() != 0 {
			t.Error("told of a change when there was none")
		}
		s.Delete(s.token)
		s.Hide(s.db)
		time.Sleep(bws.TTL + time.Second)
		fails(t, b, tokenKey, backend.ErrNotFound, "")
		fails(t, b, dbKey, backend.ErrNotFound, "")
		b.Close()
	})
}

// A secret that was just made need not wait for the TTL, and asking for one that
// is not there does not become a question each time.
func TestMissing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite()
		b := s.open(t)
		reads(t, b, tokenKey, tokenValue, false)
		before := s.Seen("sync")
		for range 60 {
			fails(t, b, "prod/new", backend.ErrNotFound, "")
			time.Sleep(time.Second)
		}
		if asked := s.Seen("sync") - before; asked > 7 {
			t.Errorf("%d questions in a minute", asked)
		}
		s.Put(s.prod, "new", "value-of-the-new-one", "")
		time.Sleep(10 * time.Second)
		reads(t, b, "prod/new", "value-of-the-new-one", false)
		b.Close()
	})
}

func TestZeroTTLAsksEachTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite()
		s.env.Timings.Default.TTL = 0
		b := s.open(t)
		for range 5 {
			reads(t, b, tokenKey, tokenValue, false)
		}
		if s.Seen("sync") != 5 {
			t.Errorf("%d questions", s.Seen("sync"))
		}
		s.Fault = func(http.ResponseWriter, *http.Request) bool { time.Sleep(time.Second); return false }
		var readers sync.WaitGroup
		for range 50 { // together they need one more, or two
			readers.Go(func() { reads(t, b, tokenKey, tokenValue, false) })
		}
		readers.Wait()
		if s.Seen("sync") > 7 {
			t.Errorf("%d questions", s.Seen("sync"))
		}
		time.Sleep(time.Hour)
		if s.Seen("sync") > 7 {
			t.Error("it asks although nobody reads")
		}
		b.Close()
	})
}

// fault has the server misbehave; nil ends it.
type fault struct {
	mu     sync.Mutex
	f      http.HandlerFunc
	prefix string
}

func (f *fault) set(h http.HandlerFunc) { f.below("", h) }

func (f *fault) below(prefix string, h http.HandlerFunc) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.f, f.prefix = h, prefix
}

func (f *fault) serve(w http.ResponseWriter, r *http.Request) bool {
	f.mu.Lock()
	h := f.f
	if !strings.HasPrefix(r.URL.Path, f.prefix) {
		h = nil
	}
	f.mu.Unlock()
	if h != nil {
		h(w, r)
	}
	return h != nil
}

func status(code int, header, text string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		if header != "" {
			w.Header().Set("Retry-After", header)
		}
		w.WriteHeader(code)
		_, _ = io.WriteString(w, text)
	}
}

var faults = map[string]struct {
	f    http.HandlerFunc
	kind error
	text string
}{
	"500":            {status(500, "", `{"message":"boom"}`), backend.ErrUnavailable, "status 500"},
	"502 with page":  {status(502, "", "<html>bad gateway"), backend.ErrUnavailable, "status 502"},
	"garbage":        {status(200, "", "<html>sign in to the wireless network"), backend.ErrUnavailable, "not understood"},
	"truncated JSON": {status(200, "", `{"object":"secretsSync","hasChanges":true,"secrets":{"data":[{"id":"`), backend.ErrUnavailable, "not understood"},
	"empty":          {status(200, "", ""), backend.ErrUnavailable, "not understood"},
	"other JSON":     {status(200, "", `{"hasChanges":true}`), backend.ErrUnavailable, "not understood"},
	"429":            {status(429, "60", `{"message":"Slow down!"}`), backend.ErrUnavailable, "429"},
	"503":            {status(503, "30", ""), backend.ErrUnavailable, "503"},
	"redirect": {func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "https://elsewhere.example/", http.StatusTemporaryRedirect)
	}, backend.ErrUnavailable, "the server sends to https://elsewhere.example"},
	"slow": {func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, backend.ErrTimeout, "no answer"},
}

// A fault at the start is an error that says what it is, one that comes later is
// bridged with the last answer, and either is over soon after the fault is.
func TestFaults(t *testing.T) {
	for name, c := range faults {
		t.Run(name+" at the start", func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, f := newSite(), &fault{}
				s.Fault = f.serve
				b := s.open(t)
				f.set(c.f)
				fails(t, b, tokenKey, c.kind, c.text)
				for range 600 { // a service that keeps crashing
					ctx, cancel := context.WithTimeout(t.Context(), time.Second)
					if _, err := b.Get(ctx, tokenKey); err == nil || !errors.Is(err, backend.ErrUnavailable) && !errors.Is(err, backend.ErrTimeout) {
						t.Fatal(err)
					}
					cancel()
					time.Sleep(time.Second)
				}
				if asked := s.Seen("all"); asked > 60 {
					t.Errorf("%d requests in ten minutes", asked)
				}
				f.set(nil)
				// The longest hold, and the pause of whoever asked within it.
				time.Sleep(91*time.Second + 30*time.Second)
				reads(t, b, tokenKey, tokenValue, false)
				b.Close()
			})
		})
		t.Run(name+" later", func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, f := newSite(), &fault{}
				s.Fault = f.serve
				b := s.open(t)
				version := reads(t, b, tokenKey, tokenValue, false)
				f.set(c.f)
				time.Sleep(bws.TTL)
				start := time.Now()
				if reads(t, b, tokenKey, tokenValue, true) != version {
					t.Error("another version")
				}
				if took := time.Since(start); took > s.env.Timeout/2 {
					t.Errorf("the last answer took %s", took)
				}
				time.Sleep(30 * time.Second) // a question is given up
				if state, err := b.State(); state != backend.Stale || !errors.Is(err, c.kind) {
					t.Errorf("state %s, %v", state, err)
				}
				time.Sleep(time.Hour)
				fails(t, b, tokenKey, c.kind, "") // max_stale is over
				f.set(nil)
				time.Sleep(8 * time.Minute)
				if reads(t, b, tokenKey, tokenValue, false) != version {
					t.Error("another version")
				}
				b.Close()
			})
		})
	}
}

// Refresh does not wait for a pause to be over.
func TestRefresh(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, f := newSite(), &fault{}
		s.Fault = f.serve
		b := s.open(t)
		f.set(status(500, "", ""))
		for range 10 {
			_ = b.Refresh(t.Context())
		}
		f.set(nil)
		if err := b.Refresh(t.Context()); err != nil {
			t.Error(err)
		}
		before := s.Seen("sync")
		if err := b.Refresh(t.Context()); err != nil || s.Seen("sync") != before+1 {
			t.Error(err, s.Seen("sync")-before)
		}
		b.Close()
	})
}
