package bitwarden_test

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/secretfs/secretfs/backend"
	"github.com/secretfs/secretfs/backend/bitwarden"
	"github.com/secretfs/secretfs/backend/bitwarden/api"
	"github.com/secretfs/secretfs/backend/bitwarden/kdf"
	"github.com/secretfs/secretfs/backend/credential"
	"github.com/secretfs/secretfs/backend/helper"
	"github.com/secretfs/secretfs/backend/httpc"
	"github.com/secretfs/secretfs/backend/secret"
	"github.com/secretfs/secretfs/tests/bwserver"
)

// quick is a derivation that costs little; servers would not offer it.
var quick = kdf.Params{Type: kdf.PBKDF2, Iterations: 5000}

const password = "correct horse battery staple"

// A world is a server with one account, and what a policy and a worker would give
// a backend.
type world struct {
	t       *testing.T
	server  *bwserver.Server
	account *bwserver.Account
	user    []byte // the account's key
	cfg     bitwarden.Settings
	disk    backend.Store
	timings backend.Timings
	maxAge  time.Duration // of a copy
	log     *strings.Builder

	mu      sync.Mutex
	values  map[string]string // credentials by field
	asked   map[string]int    // how often each was asked for
	forgot  []string
	state   backend.Legacy
	derived int

	stateless bool
}

func newWorld(t *testing.T) *world {
	w := &world{
		t: t, server: bwserver.New(t), user: make([]byte, 64), log: &strings.Builder{},
		values: map[string]string{"password": password}, asked: map[string]int{},
		timings: backend.Timings{Default: backend.Timing{TTL: time.Hour, MaxStale: time.Hour}},
	}
	rand.Read(w.user)
	w.account = w.server.RegisterWith(t, "Me@Example.test", password, quick, w.user)
	w.values["client_secret"] = w.account.ClientSecret
	w.cfg = bitwarden.Settings{
		Hosts: api.SelfHosted(w.server.URL), HTTP: httpc.Settings{CAFile: w.server.CAFile, Proxy: "none"},
		Password:  credential.Source{Kind: credential.File, Field: "password", Name: "/a"},
		KDFMemory: kdf.DefaultMaxMemory,
	}
	w.byKey()
	t.Cleanup(func() { w.state.Keys.Destroy() })
	return w
}

// byKey has the backend log in with the API key.
func (w *world) byKey() {
	w.cfg.KnownID = w.account.ClientID()
	w.cfg.ClientSecret = credential.Source{Kind: credential.File, Field: "client_secret", Name: "/b"}
}

// byPassword has the backend log in with the password.
func (w *world) byPassword() {
	w.cfg.KnownID, w.cfg.ClientSecret, w.cfg.Email = "", credential.Source{}, "me@example.test"
}

func (w *world) env() backend.Env {
	return backend.Env{
		Name: "bw", Timeout: 5 * time.Second, Timings: w.timings, Credential: w.credential, Disk: w.disk, OfflineMaxAge: w.maxAge,
		Forget: func(s credential.Source) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.forgot = append(w.forgot, s.Field)
			delete(w.values, s.Field)
		},
		Helper: w.helper, State: backend.Slot{Save: w.save, Saved: w.saved()},
		Log: slog.New(slog.NewTextHandler(&locked{w: w}, nil)),
	}
}

// locked is where the log goes.
type locked struct{ w *world }

func (l *locked) Write(b []byte) (int, error) {
	l.w.mu.Lock()
	defer l.w.mu.Unlock()
	return l.w.log.Write(b)
}

func (w *world) logged() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.log.String()
}

func (w *world) credential(_ context.Context, s credential.Source) (*secret.Value, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.asked[s.Field]++
	text, ok := w.values[s.Field]
	if !ok {
		return nil, backend.ErrLocked
	}
	return secret.From([]byte(text))
}

func (w *world) set(field, value string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if value == "" {
		delete(w.values, field)
		return
	}
	w.values[field] = value
}

func (w *world) helper(_ context.Context, call backend.HelperCall) (net.Conn, error) {
	w.mu.Lock()
	w.derived++
	w.mu.Unlock()
	ours, theirs := net.Pipe()
	go helper.Answer(theirs, kdf.Solve)
	return ours, nil
}

func (w *world) derivations() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.derived
}

func (w *world) save(l backend.Legacy) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.stateless {
		l.Keys.Destroy()
		return
	}
	w.state.Keys.Destroy()
	w.state = l
}

// saved copies the state, as the next process would get it.
func (w *world) saved() backend.Legacy {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.state.Keys.Len() == 0 {
		return backend.Legacy{Rest: w.state.Rest}
	}
	v, err := secret.From(append([]byte(nil), w.state.Keys.Bytes()...))
	if err != nil {
		w.t.Fatal(err)
	}
	return backend.Legacy{Keys: v, Rest: w.state.Rest}
}

// open makes a backend, as the next worker does.
func (w *world) open() *bitwarden.Backend {
	w.t.Helper()
	env := w.env()
	b, err := bitwarden.New(w.cfg, env)
	env.State.Saved.Keys.Destroy()
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { b.Close() })
	return b
}

// login is an item with all that a login has, encrypted with key.
func (w *world) login(key []byte, name string, more map[string]string) map[string]any {
	seal := func(s string) string { return bwserver.Seal(w.t, key, []byte(s)) }
	l := map[string]any{}
	for k, v := range more {
		l[k] = seal(v)
	}
	return map[string]any{"type": 1, "name": seal(name), "notes": nil, "login": l, "fields": nil, "folderId": nil, "organizationId": nil, "key": nil}
}

func (w *world) seal(s string) string { return bwserver.Seal(w.t, w.user, []byte(s)) }

func (w *world) add(name, password string) string {
	return w.server.Add(w.account, w.login(w.user, name, map[string]string{"username": "user of " + name, "password": password}))
}

// attach attaches a file with a key of its own, in the binary form of type 2.
func (w *world) attach(id, name, content string) string {
	key := []byte(strings.Repeat("attachment's key", 4))
	parts := strings.Split(strings.TrimPrefix(bwserver.Seal(w.t, key, []byte(content)), "2."), "|")
	blob := []byte{2}
	for _, i := range []int{0, 2, 1} { // IV, MAC, ciphertext
		b, err := base64.StdEncoding.DecodeString(parts[i])
		if err != nil {
			w.t.Fatal(err)
		}
		blob = append(blob, b...)
	}
	w.server.Attach(w.account, id, w.seal(name), w.seal(string(key)), blob)
	return content
}

func get(t *testing.T, b backend.Backend, key string) (string, *backend.Secret, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	s, err := b.Get(ctx, key)
	if err != nil {
		return "", nil, err
	}
	defer s.Value.Destroy()
	return string(s.Value.Bytes()), s, nil
}

// want wants a plaintext.
func want(t *testing.T, b backend.Backend, key, plain string) *backend.Secret {
	t.Helper()
	got, s, err := get(t, b, key)
	if err != nil {
		t.Fatalf("%s: %v", key, err)
	}
	if got != plain {
		t.Errorf("%s: got %q, want %q", key, got, plain)
	}
	return s
}

// hubless is a server without a notification service.
func hubless(rw http.ResponseWriter, r *http.Request) bool {
	if r.URL.Path != "/notifications/hub" {
		return false
	}
	rw.WriteHeader(http.StatusNotFound)
	return true
}
