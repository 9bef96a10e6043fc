package bws_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/secretfs/secretfs/backend"
	"github.com/secretfs/secretfs/backend/bws"
)

// mistyped has another letter in its secret, which is random.
func mistyped(token string) string {
	other := "x"
	if token[40] == 'x' {
		other = "y"
	}
	return token[:40] + other + token[41:]
}

func TestAccessTokens(t *testing.T) {
	s := newSite()
	good := s.cred.text
	for _, c := range []struct {
		name, token string
		kind        error
		text        string
	}{
		{"none", "", backend.ErrLocked, "no such file"},
		{"not one", "hunter2-hunter2", backend.ErrRejected, "has not the form"},
		{"of a later version", "1" + good[1:], backend.ErrRejected, "of a version that is not known"},
		{"no id", "0.x" + good[38:], backend.ErrRejected, "damaged before the colon"},
		{"key cut short", good[:len(good)-6], backend.ErrRejected, "after the colon"},
		{"key too long", good + "AAAAAAAA", backend.ErrRejected, "after the colon"},
		{"wrong secret", mistyped(good), backend.ErrRejected, "access_token from file /run/token"},
		{"wrong key", good[:strings.Index(good, ":")+1] + "X8vbvA0bduihIDe/qrzIQQ==", backend.ErrRejected, "the part of the access token after the colon is wrong"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s.cred.set(c.token)
			b := s.open(t)
			fails(t, b, tokenKey, c.kind, c.text)
			if _, err := b.Get(t.Context(), tokenKey); c.token != "" && strings.Contains(err.Error(), c.token[len(c.token)-8:]) {
				t.Error("the error quotes the token")
			}
			if state, _ := b.State(); state != backend.Locked {
				t.Errorf("state %s", state)
			}
			s.cred.set(strings.TrimRight(good, "=")) // padding may be missing
			reads(t, b, tokenKey, tokenValue, false)
		})
	}
}

// An access token that is refused must not use up the quota of logins; another
// one is tried at once.
func TestRefusedTokenIsNotTriedAllTheTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite()
		good := s.cred.text
		s.cred.set(mistyped(good))
		b := s.open(t)
		for range 3600 {
			fails(t, b, tokenKey, backend.ErrRejected, "make a new one")
			time.Sleep(time.Second)
		}
		if s.Seen("login") > 30 {
			t.Errorf("%d logins in an hour", s.Seen("login"))
		}
		s.cred.set(good)
		reads(t, b, tokenKey, tokenValue, false)
		b.Close()
	})
}

func TestRevokedToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite()
		disk := newDisk()
		s.env.Disk = disk
		b := s.open(t)
		reads(t, b, tokenKey, tokenValue, false)
		time.Sleep(time.Second)
		if disk.len() != 1 {
			t.Error("nothing was kept")
		}
		s.Revoke(s.cred.text)
		time.Sleep(bws.TTL)
		fails(t, b, tokenKey, backend.ErrExpired, "which has worked before: it is revoked or expired")
		fails(t, b, tokenKey, backend.ErrExpired, "make a new one")
		if disk.len() != 0 {
			t.Error("the secrets are still on the disk")
		}
		s.cred.set(s.NewToken())
		reads(t, b, tokenKey, tokenValue, false)
		b.Close()
	})
}

// A server that has forgotten its sessions costs one login, not the secret.
func TestSessionEndsEarly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, f := newSite(), &fault{}
		s.Fault = f.serve
		b := s.open(t)
		version := reads(t, b, tokenKey, tokenValue, false)
		s.EndSessions()
		time.Sleep(bws.TTL)
		if reads(t, b, tokenKey, tokenValue, false) != version || s.Seen("login") != 2 {
			t.Errorf("%d logins", s.Seen("login"))
		}
		f.below("/api/", status(401, "", ""))
		time.Sleep(bws.TTL)
		fails(t, b, tokenKey, backend.ErrRejected, "nor is a new one")
		b.Close()
	})
}

// The session is renewed before it ends.
func TestSessionIsRenewed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite()
		s.Life = 20 * time.Minute
		b := s.open(t)
		for range 180 {
			reads(t, b, tokenKey, tokenValue, false)
			time.Sleep(time.Minute)
		}
		if s.Seen("login") < 9 || s.Seen("login") > 13 {
			t.Errorf("%d logins in three hours", s.Seen("login"))
		}
		b.Close()
	})
}

func TestLock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite()
		kept := &slot{}
		s.env.State.Save = kept.save
		b := s.open(t)
		reads(t, b, tokenKey, tokenValue, false)
		time.Sleep(time.Second)
		if err := b.Lock(t.Context()); err != nil {
			t.Fatal(err)
		}
		before := s.Seen("all")
		time.Sleep(time.Hour)
		if _, err := b.List(t.Context(), ""); !errors.Is(err, backend.ErrLocked) {
			t.Error(err)
		}
		if _, err := b.Stat(t.Context(), tokenKey); !errors.Is(err, backend.ErrLocked) {
			t.Error(err)
		}
		if err := b.Refresh(t.Context()); !errors.Is(err, backend.ErrLocked) {
			t.Error(err)
		}
		if s.Seen("all") != before {
			t.Error("asked while locked")
		}
		if l := kept.take(); l.Keys.Len() != 0 || len(l.Rest) != 0 {
			t.Error("the session is kept for the next process")
		}
		reads(t, b, tokenKey, tokenValue, false)
		if s.Seen("login") != 2 {
			t.Errorf("%d logins", s.Seen("login"))
		}

		_ = b.Lock(t.Context())
		s.cred.set("")
		if err := b.Unlock(t.Context()); !errors.Is(err, backend.ErrLocked) {
			t.Error(err)
		}
		s.cred.set("wrong")
		if err := b.Unlock(t.Context()); !errors.Is(err, backend.ErrRejected) {
			t.Error(err)
		}
		s.cred.set(s.NewToken())
		if err := b.Unlock(t.Context()); err != nil {
			t.Error(err)
		}
		if entries, err := b.List(t.Context(), ""); err != nil || len(entries) == 0 {
			t.Error(entries, err)
		}
		b.Close()
	})
}

// The credentials of a login and of a session stay on their server.
func TestRedirectTakesNothingAlong(t *testing.T) {
	s := newSite()
	var reached atomic.Int32
	elsewhere := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		reached.Add(1)
		body, _ := io.ReadAll(r.Body)
		t.Errorf("%s %s with %q, %d bytes", r.Method, r.URL, r.Header.Get("Authorization"), len(body))
	}))
	defer elsewhere.Close()
	f := &fault{}
	s.Fault = f.serve
	server := httptest.NewServer(s)
	defer server.Close()
	at := settings
	at.API, at.Identity = server.URL+"/api", server.URL+"/identity"
	s.env.Timings.Default.TTL = 0
	b := bws.New(at, s.env, nil)
	defer b.Close()
	redirect := func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, elsewhere.URL+r.URL.Path, http.StatusTemporaryRedirect)
	}
	f.set(redirect)
	fails(t, b, tokenKey, backend.ErrUnavailable, "the server sends to "+elsewhere.URL)
	f.set(nil)
	time.Sleep(time.Second)
	reads(t, b, tokenKey, tokenValue, false)
	f.set(redirect)
	reads(t, b, tokenKey, tokenValue, true)
}

func TestCancelledReadersLeaveTheQuestionAlone(t *testing.T) {
	s := newSite()
	release := make(chan struct{})
	s.Fault = func(http.ResponseWriter, *http.Request) bool { <-release; return false }
	b := s.open(t)
	for range 5 {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		if _, err := b.Get(ctx, tokenKey); err == nil {
			t.Error("an answer out of nowhere")
		}
		cancel()
	}
	close(release)
	reads(t, b, tokenKey, tokenValue, false)
	if s.Seen("login") != 1 {
		t.Errorf("%d logins", s.Seen("login"))
	}
}
