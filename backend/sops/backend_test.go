package sops

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"filippo.io/age"
	"filippo.io/age/armor"
	"github.com/secretfs/secretfs/backend"
	"github.com/secretfs/secretfs/backend/secret"
	"github.com/secretfs/secretfs/backend/sops/keys"
	"io"
)

// ageKeys is a key source that unwraps with one age identity, read from a file
// each time.
type ageKeys struct {
	file  string
	calls atomic.Int32
}

func (a *ageKeys) DataKey(_ context.Context, m keys.Metadata) (*secret.Value, error) {
	a.calls.Add(1)
	text, err := os.ReadFile(a.file)
	if err != nil {
		return nil, fmt.Errorf("no identity in %s: %w", a.file, backend.ErrLocked)
	}
	id, err := age.ParseX25519Identity(strings.TrimSpace(string(text)))
	if err != nil {
		return nil, fmt.Errorf("no identity in %s: %w", a.file, backend.ErrLocked)
	}
	r, err := age.Decrypt(armor.NewReader(strings.NewReader(m.Groups[0][0].Fields["enc"])), id)
	if err != nil {
		return nil, fmt.Errorf("no identity matches: %w", backend.ErrLocked)
	}
	key, err := io.ReadAll(r)
	if err != nil {
		return nil, err
	}
	return secret.From(key)
}

// A fixture is a sops file in a directory of its own, with its key.
type fixture struct {
	*Backend
	file, keyFile string
	keys          *ageKeys
	changes       atomic.Int32
}

func newFixture(t *testing.T, content []byte, change ...func(*Config)) *fixture {
	t.Helper()
	dir := t.TempDir()
	f := &fixture{file: filepath.Join(dir, "secrets.yaml"), keyFile: filepath.Join(t.TempDir(), "key.txt")}
	if content != nil {
		write(t, f.file, content)
	}
	write(t, f.keyFile, []byte(ring().identity.String()))
	f.keys = &ageKeys{file: f.keyFile}
	cfg := Config{File: f.file, Format: YAML, Keys: f.keys, KeyFiles: []string{f.keyFile}, MaxStale: time.Hour}
	for _, c := range change {
		c(&cfg)
	}
	f.Backend = New(cfg)
	t.Cleanup(func() { f.Close() })
	f.Notify(func() { f.changes.Add(1) })
	return f
}

func write(t testing.TB, name string, content []byte) {
	t.Helper()
	if err := os.WriteFile(name, content, 0o600); err != nil {
		t.Fatal(err)
	}
}

// get reads key within a second.
func (f *fixture) get(key string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	s, err := f.Get(ctx, key)
	if err != nil {
		return "", err
	}
	defer s.Value.Destroy()
	return string(s.Value.Bytes()), nil
}

func TestBackend(t *testing.T) {
	f := newFixture(t, mustSeal(t, YAML, "a: {b: one}\n"))
	if s, err := f.State(); s != backend.Unread || err != nil {
		t.Errorf("before anything is asked the state is %s, %v", s, err)
	}
	list, err := f.List(t.Context(), "a")
	if err != nil || len(list) != 1 || list[0] != (backend.Entry{Name: "b"}) {
		t.Errorf("List: %v, %v", list, err)
	}
	if got, err := f.get("a/b"); got != "one" || err != nil {
		t.Errorf("Get: %q, %v", got, err)
	}
	if s, err := f.State(); s != backend.Ready || err != nil {
		t.Errorf("the state is %s, %v", s, err)
	}
	if _, err := f.get("a/c"); !errors.Is(err, backend.ErrNotFound) ||
		err.Error() != "reading "+f.file+`: key "a/c": "a" has no "c", it has "b": no such secret` {
		t.Errorf("a missing key: %v", err)
	}
}
