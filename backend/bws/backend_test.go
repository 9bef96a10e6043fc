package bws_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/secretfs/secretfs/backend"
	"github.com/secretfs/secretfs/backend/backendtest"
	"github.com/secretfs/secretfs/backend/bws"
	"github.com/secretfs/secretfs/backend/bws/bwstest"
	"github.com/secretfs/secretfs/backend/credential"
	"github.com/secretfs/secretfs/backend/secret"
)

// A site is a server with a few secrets, and what a Backend is opened with.
type site struct {
	*bwstest.Server
	prod, stage          string // projects
	token, db, note, two string // secrets
	cred                 *credentials
	env                  backend.Env
	network              http.RoundTripper
}

const (
	tokenValue = "canary-token-value-1"
	dbValue    = "canary-database-value-2"
)

// credentials is an unlocking chain with one credential.
type credentials struct {
	mu    sync.Mutex
	text  string // "" for none
	asked int
}

func (c *credentials) set(text string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.text = text
}

func (c *credentials) get(context.Context, credential.Source) (*secret.Value, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.asked++
	if c.text == "" {
		return nil, errors.Join(errors.New("reading access_token: no such file"), backend.ErrLocked)
	}
	return secret.From([]byte(c.text + "\n"))
}

func newSite() *site {
	s := &site{Server: bwstest.New()}
	s.prod, s.stage = s.AddProject("prod"), s.AddProject("stage")
	s.token = s.Put(s.prod, "token", tokenValue, "made by hand")
	s.db = s.Put(s.prod, "db/password", dbValue, "")
	s.two = s.Put(s.stage, "token", "another-token-value-3", "")
	s.note = s.Put("", "alone", "value-without-project-4", "")
	s.cred = &credentials{text: s.NewToken()}
	s.env = backend.Env{
		OfflineMaxAge: 30 * 24 * time.Hour,
		Name:          "bws", Timeout: 5 * time.Second, Credential: s.cred.get, Log: slog.New(slog.NewTextHandler(io.Discard, nil)),
		Timings: backend.Timings{Default: backend.Timing{TTL: bws.TTL, MaxStale: time.Hour}},
	}
	s.network = bwstest.Network(s)
	return s
}

var settings = bws.Settings{
	API: "https://vault.example/api", Identity: "https://vault.example/identity",
	AccessToken: credential.Source{Kind: credential.File, Field: "access_token", Name: "/run/token"},
}

func (s *site) open(t testing.TB) *bws.Backend {
	t.Helper()
	b := bws.New(settings, s.env, s.network)
	t.Cleanup(func() { b.Close() })
	return b
}

const (
	tokenKey = "prod/token"
	dbKey    = "prod/db%2Fpassword"
)

// reads wants a plaintext, fresh or not.
func reads(t *testing.T, b backend.Backend, key, want string, stale bool) backend.Version {
	t.Helper()
	s, err := b.Get(t.Context(), key)
	if err != nil {
		t.Errorf("%q: %v", key, err)
		return ""
	}
	defer s.Value.Destroy()
	if got := string(s.Value.Bytes()); got != want {
		t.Errorf("%q: got %q, want %q", key, got, want)
	}
	if (s.Stale != nil) != stale {
		t.Errorf("%q: stale: %v, want %v", key, s.Stale, stale)
	}
	return s.Version
}

// fails wants an error of that kind that says text.
func fails(t *testing.T, b backend.Backend, key string, kind error, text string) {
	t.Helper()
	s, err := b.Get(t.Context(), key)
	switch {
	case err == nil:
		s.Value.Destroy()
		t.Errorf("%q: no error, want %v", key, kind)
	case !errors.Is(err, kind):
		t.Errorf("%q: %v, want %v", key, err, kind)
	case !strings.Contains(err.Error(), text):
		t.Errorf("%q: %q does not say %q", key, err, text)
	case backendtest.Leaks(err.Error(), tokenValue, dbValue):
		t.Errorf("%q: the error quotes plaintext", key)
	}
}

func TestConformance(t *testing.T) {
	s := newSite()
	wrong := newSite()
	wrong.cred.set(s.NewToken()) // of another organisation's server
	damaged := newSite()
	damaged.Damage(damaged.token, "2.AAAAAAAAAAAAAAAAAAAAAA==|AAAAAAAAAAAAAAAAAAAAAA==|AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=")
	opened := func(s *site) func(*testing.T) (backend.Backend, string) {
		return func(*testing.T) (backend.Backend, string) { return bws.New(settings, s.env, s.network), tokenKey }
	}
	revoked := newSite()
	revoked.Revoke(revoked.cred.text)
	var log safeLog
	s.env.Log = slog.New(slog.NewTextHandler(&log, nil))
	server := func(*testing.T) backendtest.Server {
		way, env := &line{RoundTripper: s.network}, s.env
		const ttl = time.Millisecond
		env.Timings.Default.TTL = ttl
		return backendtest.Server{
			Backend: bws.New(settings, env, way), Key: tokenKey,
			Cut: func() {
				way.set(true, false)
				time.Sleep(2 * ttl) // until then nobody would ask the server
			},
			Stall: func() { way.set(false, true) }, Mend: func() { way.set(false, false) },
		}
	}
	backendtest.Run(t, func(*testing.T) backendtest.Fixture {
		return backendtest.Fixture{
			Backend: bws.New(settings, s.env, s.network),
			Secrets: map[string]string{tokenKey: tokenValue, dbKey: dbValue},
			Missing: "prod/nothing", Corrupt: opened(damaged), Locked: opened(wrong), Denied: opened(revoked),
			Server: server, Slow: server,
			Reopen: func(_ *testing.T, slot backend.Slot) backend.Backend {
				env := s.env
				env.State = slot
				return bws.New(settings, env, s.network)
			},
			Tokens: []string{s.cred.text[39:61], s.cred.text[62:]}, Log: log.String,
			Without: []string{"places"}, // it knows all secrets, and is an Indexer
		}
	})
}

func TestWaysToName(t *testing.T) {
	s := newSite()
	b := s.open(t)
	for key, want := range map[string]string{
		"/id/" + s.token + "/value":                tokenValue,
		"/id/" + s.token + "/note":                 "made by hand",
		"/id/" + s.token + "/name":                 "token",
		"/name/prod/token/value":                   tokenValue,
		"/name/" + s.prod + "/token/value":         tokenValue,
		"/name/stage/token/value":                  "another-token-value-3",
		"/name//db%2Fpassword/value":               dbValue,
		"/name//alone/value":                       "value-without-project-4",
		"/name//alone/note":                        "",
		"%/alone":                                  "value-without-project-4",
		"stage/token":                              "another-token-value-3",
		"/name/prod/db%2Fpassword/name":            "db/password",
		"/id/" + s.db + "/value":                   dbValue,
		"/name/" + s.stage + "/token/value":        "another-token-value-3",
		"/name/" + s.prod + "/db%2Fpassword/value": dbValue,
	} {
		reads(t, b, key, want, false)
	}
	fails(t, b, "/name//token/value", backend.ErrUnsupported, s.token+` (project "prod")`)
	fails(t, b, "/name//token/value", backend.ErrUnsupported, s.two+` (project "stage")`)
	fails(t, b, "/name/prod/nothing/value", backend.ErrNotFound, `no secret "nothing" in project "prod"`)
	fails(t, b, "/id/"+s.prod+"/value", backend.ErrNotFound, "no secret with id "+s.prod)
	fails(t, b, "/id/"+s.token+"/colour", backend.ErrNotFound, "colour")
	fails(t, b, "prod", backend.ErrNotFound, "")
	if s.Seen("login") != 1 {
		t.Errorf("%d logins", s.Seen("login"))
	}
}

func TestTree(t *testing.T) {
	s := newSite()
	again := s.Put(s.prod, "token", "a-second-token-value", "")
	dots := s.Put(s.prod, "..", "a-value-called-dots", "")
	twin := s.AddProject("stage")
	s.Put(twin, "x", "value-in-the-twin-project", "")
	b := s.open(t)
	for dir, want := range map[string]string{
		"":               "% prod stage%~" + min(s.stage, twin) + " stage%~" + max(s.stage, twin),
		"prod":           "%2E%2E db%2Fpassword token%~" + min(s.token, again) + " token%~" + max(s.token, again),
		"stage%~" + twin: "x",
		"%":              "alone",
	} {
		entries, err := b.List(t.Context(), dir)
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, e := range entries {
			if e.Dir != (dir == "") {
				t.Errorf("%q: %+v", dir, e)
			}
			names = append(names, e.Name)
		}
		if got := strings.Join(names, " "); got != want {
			t.Errorf("%q: got %s, want %s", dir, got, want)
		}
	}
	reads(t, b, "prod/token%~"+again, "a-second-token-value", false)
	reads(t, b, "prod/%2E%2E", "a-value-called-dots", false)
	if info, err := b.Stat(t.Context(), "prod/%2E%2E"); err != nil || info.Size != int64(len("a-value-called-dots")) || info.Dir || info.Due {
		t.Errorf("%+v %v", info, err)
	}
	if _, err := b.List(t.Context(), "nowhere"); !errors.Is(err, backend.ErrNotFound) {
		t.Error(err)
	}
	if got := s.Seen("all"); got != 2 || dots == "" {
		t.Errorf("%d requests, want a login and a sync", got)
	}
}
