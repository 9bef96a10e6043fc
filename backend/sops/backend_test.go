package sops

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"filippo.io/age"
	"filippo.io/age/armor"
	"github.com/secretfs/secretfs/backend"
	"github.com/secretfs/secretfs/backend/secret"
	"github.com/secretfs/secretfs/backend/sops/keys"
	"golang.org/x/sys/unix"
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

// get reads key within five seconds.
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

func withTimeout(t *testing.T, d time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeout(t.Context(), d)
}

// cutSealed finds the first encrypted value of file.
func cutSealed(file []byte) [2]int {
	begin := bytes.Index(file, sealedMark)
	return [2]int{begin, begin + bytes.IndexByte(file[begin:], ']') + 1}
}

func keepState(states chan<- backend.Legacy) func(backend.Legacy) {
	return func(l backend.Legacy) { states <- l }
}

// unstick ends a reader that waits for a writer of the FIFO name.
func unstick(t *testing.T, name string) {
	t.Cleanup(func() {
		if f, err := os.OpenFile(name, os.O_WRONLY|unix.O_NONBLOCK, 0); err == nil {
			f.Close()
		}
	})
}

func TestManyReaders(t *testing.T) {
	f := newFixture(t, sample(t, "one"))
	var wg sync.WaitGroup
	stop := make(chan struct{})
	for range 8 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if got, err := f.get("a"); err != nil || got != "one" && got != "two" {
					t.Errorf("a reader got %q, %v", got, err)
					return
				}
				if _, err := f.Stat(t.Context(), "a"); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for i := range 20 {
		write(t, f.file+".new", sample(t, []string{"one", "two"}[i%2]))
		rename(t, f.file+".new", f.file)
		if err := f.Refresh(t.Context()); err != nil {
			t.Error(err)
		}
	}
	close(stop)
	wg.Wait()
	if n := f.keys.calls.Load(); n != 1 {
		t.Errorf("the data key was recovered %d times, though it stayed the same", n)
	}
}

func TestClosed(t *testing.T) {
	f := newFixture(t, sample(t, "one"))
	if _, err := f.get("a"); err != nil {
		t.Fatal(err)
	}
	f.Close()
	f.Close()
	if _, err := f.get("a"); !errors.Is(err, backend.ErrUnavailable) {
		t.Errorf("Get after Close: %v", err)
	}
	if _, err := f.Stat(t.Context(), "a"); !errors.Is(err, backend.ErrUnavailable) {
		t.Errorf("Stat after Close: %v", err)
	}
	if err := f.Refresh(t.Context()); err == nil {
		t.Error("Refresh after Close works")
	}
}

func TestCanceled(t *testing.T) {
	f := newFixture(t, nil)
	if err := unix.Mkfifo(f.file, 0o600); err != nil {
		t.Fatal(err)
	}
	unstick(t, f.file)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := f.Get(ctx, "a"); !errors.Is(err, context.Canceled) {
		t.Errorf("Get with a canceled context: %v", err)
	}
}

func mkfifo(t *testing.T, name string) {
	t.Helper()
	if err := unix.Mkfifo(name, 0o600); err != nil {
		t.Fatal(err)
	}
}
