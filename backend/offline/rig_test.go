package offline_test

import (
	"bytes"
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"filippo.io/age"

	"github.com/secretfs/secretfs/backend"
	"github.com/secretfs/secretfs/backend/backendtest"
	"github.com/secretfs/secretfs/backend/disk"
	"github.com/secretfs/secretfs/backend/offline"
	"github.com/secretfs/secretfs/backend/secret"
)

// A machine is a disk, a key, and a server somewhere.
type machine struct {
	t       *testing.T
	state   string
	id      *age.X25519Identity
	source  string
	backend string
	maxAge  time.Duration
	timings backend.Timings
	values  map[string]string
	log     log
	// saves counts what is written; hold, if set, is waited for before.
	saves atomic.Int32
	hold  chan struct{}
}

// A log is what was said.
type log struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

// Write is that of io.Writer.
func (l *log) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(b)
}

// String is all of it.
func (l *log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

const (
	ttl      = time.Minute
	maxStale = time.Hour
	maxAge   = 30 * 24 * time.Hour
)

func newMachine(t *testing.T) *machine {
	id, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	return &machine{
		t: t, state: t.TempDir(), id: id, source: "server one", backend: "far", maxAge: maxAge,
		timings: backend.Timings{Default: backend.Timing{TTL: ttl, MaxStale: maxStale}},
		values:  map[string]string{"a": "canary-value-of-a", "apps/b": "canary-value-of-b", "apps/sub/c": "canary-value-of-c"},
	}
}

// boot gives a resolver of the n-th run of the machine, and its server.
func (m *machine) boot(t *testing.T, n string) (*backend.Resolver, *backendtest.Far) {
	t.Helper()
	f := backendtest.NewFar(m.values)
	r := backend.New(f, backend.Options{
		Name: m.backend, Timings: m.timings, Timeout: 10 * time.Second, Log: slog.New(slog.NewTextHandler(&m.log, nil)),
		Offline: backend.Offline{Copies: m.copies(), MaxAge: m.maxAge, Boot: n},
	})
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
	return r, f
}

func (m *machine) copies() *offline.Copies {
	return offline.New(offline.Config{
		Settings: offline.Settings{Recipients: []string{m.id.Recipient().String()}, Identities: []string{"key"}},
		Backend:  m.backend, Source: m.source,
		Store: &counting{disk.New(m.state, "far", "offline"), m},
		Keys:  func([]string) offline.Keys { return opener{m.id} },
	})
}

// An opener opens with one identity.
type opener struct{ id age.Identity }

// FileKey is that of offline.Keys.
func (o opener) FileKey(_ context.Context, header []byte) (*secret.Value, error) {
	key, err := age.DecryptHeader(header, o.id)
	if err != nil {
		return nil, err
	}
	return secret.From(key)
}

// counting counts what is saved.
type counting struct {
	*disk.Store
	m *machine
}

// Save is that of backend.Store.
func (c *counting) Save(name string, data []byte) error {
	if c.m.hold != nil {
		<-c.m.hold
	}
	c.m.saves.Add(1)
	return c.Store.Save(name, data)
}

// files are the copies on the disk.
func (m *machine) files() (files []string) {
	m.t.Helper()
	files, err := filepath.Glob(filepath.Join(m.state, "far%~offline", "*"))
	if err != nil {
		m.t.Fatal(err)
	}
	return files
}

// read reads a value.
func (m *machine) read(t *testing.T, r *backend.Resolver, key string) (text string, stale error) {
	t.Helper()
	s, err := r.Get(t.Context(), key)
	if err != nil {
		t.Fatalf("%q: %v", key, err)
	}
	defer s.Value.Destroy()
	return string(s.Value.Bytes()), s.Stale
}

// noPlaintext looks for values in every file, and in the log.
func (m *machine) noPlaintext() {
	m.t.Helper()
	var all []string
	for _, v := range m.values {
		all = append(all, v)
	}
	for _, file := range m.files() {
		b, err := os.ReadFile(file)
		if err != nil {
			m.t.Fatal(err)
		}
		if backendtest.Leaks(string(b), all...) || strings.Contains(string(b), "apps") {
			m.t.Errorf("%s shows plaintext", file)
		}
	}
	if backendtest.Leaks(m.log.String(), all...) {
		m.t.Error("the log shows plaintext")
	}
}
