package vault_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/secretfs/secretfs/backend"
	"github.com/secretfs/secretfs/backend/backendtest"
	"github.com/secretfs/secretfs/backend/credential"
	"github.com/secretfs/secretfs/backend/secret"
	"github.com/secretfs/secretfs/backend/vault"
	"github.com/secretfs/secretfs/policy/conf"
	"github.com/secretfs/secretfs/tests/vaultd"
)

// A place is a backend, and what it has been given and has said.
type place struct {
	*vault.Backend
	t           *testing.T
	credentials map[string]string // by field
	cfg         vault.Config

	mu    sync.Mutex
	log   bytes.Buffer
	saved backend.Legacy
	asked map[string]int // how often for a credential
	told  int            // how often of a change
}

// open makes a backend of settings as a policy has them, on a server.
func open(t *testing.T, address, settings string, credentials map[string]string) *place {
	t.Helper()
	p := &place{t: t, credentials: credentials, asked: map[string]int{}}
	p.cfg = vault.Config{
		Settings: decode(t, fmt.Sprintf("{address: %q, proxy: none, %s}", address, settings)),
		Timeout:  10 * time.Second,
		Credential: func(_ context.Context, s credential.Source) (*secret.Value, error) {
			p.mu.Lock()
			defer p.mu.Unlock()
			p.asked[s.Field]++
			text, ok := p.credentials[s.Field]
			if !ok {
				return nil, fmt.Errorf("no %s is at hand: %w", s.Field, backend.ErrLocked)
			}
			return secret.From([]byte(text))
		},
		Save: func(l backend.Legacy) {
			p.mu.Lock()
			defer p.mu.Unlock()
			p.saved.Keys.Destroy()
			p.saved = l
		},
		Log: slog.New(slog.NewTextHandler(lockedWriter{p}, nil)),
	}
	p.start()
	t.Cleanup(func() {
		p.Close()
		p.saved.Keys.Destroy()
		p.silent()
	})
	return p
}

type lockedWriter struct{ p *place }

func (w lockedWriter) Write(b []byte) (int, error) {
	w.p.mu.Lock()
	defer w.p.mu.Unlock()
	return w.p.log.Write(b)
}

func (p *place) start() {
	p.t.Helper()
	b, err := vault.New(p.cfg)
	must(p.t, err)
	b.Notify(func() {
		p.mu.Lock()
		p.told++
		p.mu.Unlock()
	})
	p.Backend = b
}

// next is the backend of the next process, after this one was killed.
func (p *place) next() {
	p.t.Helper()
	p.mu.Lock()
	p.cfg.Saved = p.saved
	p.saved = backend.Legacy{}
	p.mu.Unlock()
	old := p.Backend
	p.start()
	p.cfg.Saved.Keys.Destroy()
	old.Close()
}

// silent wants no credential in the log.
func (p *place) silent() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if backendtest.Leaks(p.log.String(), slices.Collect(maps.Values(p.credentials))...) {
		p.t.Error("the log quotes a credential")
	}
}

func (p *place) give(field, text string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.credentials[field] = text
}

func decode(t *testing.T, text string) vault.Settings {
	t.Helper()
	n, problems := conf.Parse("policy.yaml", []byte("it: "+text))
	s := vault.Decode(n.Get("it"), "/etc/secretfs", problems)
	must(t, problems.Err())
	return s.(vault.Settings)
}

// key is what Reference makes of an entry of `secrets:`.
func key(t *testing.T, entry string) string {
	t.Helper()
	n, problems := conf.Parse("policy.yaml", []byte("it: "+entry))
	f := conf.Open(n.Get("it"), problems, append(vault.SecretKeys, "key")...)
	k := vault.Reference(f, "no/path", nil)
	must(t, problems.Err())
	return k
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func limited(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// get reads what an entry of `secrets:` names.
func (p *place) get(entry string) (string, backend.Version, error) {
	p.t.Helper()
	s, err := p.Get(limited(p.t), key(p.t, entry))
	if err != nil {
		p.mu.Lock()
		defer p.mu.Unlock()
		if backendtest.Leaks(err.Error(), slices.Collect(maps.Values(p.credentials))...) {
			p.t.Error("the error quotes a credential")
		}
		return "", "", err
	}
	defer s.Value.Destroy()
	return string(s.Value.Bytes()), s.Version, nil
}

func (p *place) reads(entry, want string) backend.Version {
	p.t.Helper()
	got, version, err := p.get(entry)
	if err != nil || got != want {
		p.t.Fatalf("%s: got %q, %v, want %q", entry, got, err, want)
	}
	return version
}

func (p *place) fails(entry string, kind error, sentence string) {
	p.t.Helper()
	_, _, err := p.get(entry)
	says(p.t, err, kind, sentence)
}

func says(t *testing.T, err, kind error, sentence string) {
	t.Helper()
	if !errors.Is(err, kind) || !strings.Contains(err.Error(), sentence) {
		t.Errorf("got %v\nwant %q in it, and %v", err, sentence, kind)
	}
}

const byToken = "auth: {method: token, token: {ask: true}}"

func asRoot() map[string]string { return map[string]string{"token": vaultd.Root} }

var plaintexts = map[string]string{
	"secret/suite#token": "canary-token-0001", "secret/suite#password": "canary-passphrase-\"\\\n\u00e9\U0001F511-0002", "v1/suite#key": "canary-key-0003",
}

func TestSuite(t *testing.T) {
	s := vaultd.Start(t, "")
	s.Do(t, "POST", "sys/mounts/v1", map[string]any{"type": "kv", "options": map[string]string{"version": "1"}})
	s.Do(t, "POST", "v1/suite", map[string]string{"key": plaintexts["v1/suite#key"]})
	s.Do(t, "POST", "secret/data/suite", map[string]any{"data": map[string]string{
		"token": plaintexts["secret/suite#token"], "password": plaintexts["secret/suite#password"],
	}})
	server := func(t *testing.T) backendtest.Server {
		way := vaultd.Through(t, s.Address)
		return backendtest.Server{
			Backend: open(t, way.Address, byToken, asRoot()).Backend, Key: "secret/suite#token",
			Cut: way.Cut, Stall: func() { way.Stall(t) }, Mend: func() { way.Mend(t) },
		}
	}
	backendtest.Run(t, func(t *testing.T) backendtest.Fixture {
		p := open(t, s.Address, byToken, asRoot())
		p.cfg.Save = nil // the suite counts what is left
		p.Close()
		p.saved.Keys.Destroy()
		p.start()
		return backendtest.Fixture{
			Backend: p.Backend, Secrets: plaintexts, Missing: "secret/none#token",
			Corrupt: func(t *testing.T) (backend.Backend, string) {
				return forged(t).Backend, "secret/suite#token"
			},
			Locked: func(t *testing.T) (backend.Backend, string) {
				return open(t, s.Address, byToken, map[string]string{"token": "hvs.not-a-token-of-this-server"}).Backend, "secret/suite#token"
			},
			Denied: func(t *testing.T) (backend.Backend, string) {
				return open(t, s.Address, byToken, map[string]string{"token": s.Token(t, nil, "default")}).Backend, "secret/suite#token"
			},
			Server: server, Slow: server, Without: []string{"index"},
			Reopen: func(t *testing.T, slot backend.Slot) backend.Backend {
				p := open(t, s.Address, byToken, asRoot())
				p.Close()
				p.cfg.Save, p.cfg.Saved = slot.Save, slot.Saved
				p.start()
				return p.Backend
			},
			Place: "secret", Tokens: []string{vaultd.Root},
			Log: func() string {
				p.mu.Lock()
				defer p.mu.Unlock()
				return p.log.String()
			},
		}
	})
}

// forged is a server that answers with what no KV engine gives.
func forged(t *testing.T) *place {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.Contains(r.URL.Path, "internal/ui/mounts") {
			fmt.Fprint(w, `{"data":{"path":"secret/","type":"kv","options":{"version":"2"}}}`)
			return
		}
		fmt.Fprintf(w, `{"data":{"data":%q,"metadata":{"version":1}}}`, plaintexts["secret/suite#token"])
	}))
	t.Cleanup(s.Close)
	return open(t, s.URL, byToken, asRoot())
}
