package backendtest

import (
	"bytes"
	"context"
	"errors"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/secretfs/secretfs/backend"
	"github.com/secretfs/secretfs/backend/secret"
)

// A Fixture is a fresh, working backend and what a driver's author knows of it.
// Run closes Backend; the fixture cleans up whatever else it made.
type Fixture struct {
	Backend backend.Backend
	// Secrets are plaintexts by key: at least two, each of at least 12 bytes
	// that occur nowhere else, so that they can be looked for in errors.
	Secrets map[string]string
	// Missing is a key that the backend does not have.
	Missing string
	// Corrupt opens a backend in which the key given with it is damaged or
	// forged; Locked one for which no key, or a wrong one, is at hand. Their
	// plaintexts are those of Secrets.
	Corrupt, Locked func(t *testing.T) (backend.Backend, string)
	// Denied opens a backend whose source is there and does not give out the key.
	Denied func(t *testing.T) (backend.Backend, string)
	// Server opens a backend on a way to its source that can be cut; Slow on one
	// that can take requests and not answer.
	Server, Slow func(t *testing.T) Server
	// Reopen opens the backend as the next process does, with what an earlier one
	// has kept. It does not close what it has opened before.
	Reopen func(t *testing.T, s backend.Slot) backend.Backend
	// Place is one of a backend.Lister at which there are secrets.
	Place string
	// Without names the cases that have no meaning for this backend. Each other
	// one must have what it needs of the above, so that none is lost unnoticed.
	Without []string

	// What follows may be left out.

	// Tokens are credentials, which must not show in an error or in the log.
	Tokens []string
	// Log is what the backends have logged so far.
	Log func() string
}

// A Server is a backend and the way to its source. Run closes Backend.
type Server struct {
	Backend backend.Backend
	Key     string
	// Cut makes the source unreachable at once; Stall lets it take requests and
	// not answer; Mend ends either. Server needs the first, Slow the second.
	Cut, Stall, Mend func()
	// Alone says that each secret has a source of its own, so that nothing is
	// learned of the others when one is not reachable.
	Alone bool
}

// hang is how long anything may take before the suite calls it stuck.
const hang = 30 * time.Second

// Run checks the contract of backend.Backend, and of Indexer, Locker and Lister
// where they are implemented. It calls fixture for each test anew, and once before
// them all. Tests that watch locked memory must not run beside it, so it does not
// run in parallel.
func Run(t *testing.T, fixture func(t *testing.T) Fixture) {
	f := fixture(t)
	run, err := choose(f)
	closeOnce(t, f.Backend)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range run {
		t.Run(c.name, func(t *testing.T) {
			f := fixture(t)
			t.Cleanup(func() {
				closeOnce(t, f.Backend)
				silent(t, f)
			})
			c.run(t, f)
		})
	}
	t.Run("close wipes", func(t *testing.T) { testClose(t, fixture) })
}

func closeOnce(t *testing.T, b backend.Backend) {
	if err := b.Close(); err != nil {
		t.Errorf("closing: %v", err)
	}
}

func limited(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), hang)
	t.Cleanup(cancel)
	return ctx
}

func get(t *testing.T, f Fixture, key string) *backend.Secret {
	t.Helper()
	s, err := f.Backend.Get(limited(t), key)
	if err != nil {
		t.Fatalf("%q: %v", key, err)
	}
	if got := s.Value.Bytes(); !bytes.Equal(got, []byte(f.Secrets[key])) {
		t.Fatalf("%q: plaintext differs: %d bytes, want %d", key, len(got), len(f.Secrets[key]))
	}
	return s
}

func testFound(t *testing.T, f Fixture) {
	for key := range f.Secrets {
		a, b := get(t, f, key), get(t, f, key)
		if a.Version != b.Version {
			t.Errorf("%q: version changes from read to read: %q, %q", key, a.Version, b.Version)
		}
		checkVersion(t, key, a.Version)
		a.Value.Destroy()
		b.Value.Destroy()
	}
}

func checkVersion(t *testing.T, key string, v backend.Version) {
	t.Helper()
	printable := func(r rune) bool { return r > ' ' && r < 0x7f }
	if v == "" || len(v) > 32 || strings.ContainsFunc(string(v), func(r rune) bool { return !printable(r) }) {
		t.Errorf("%q: version %q is not 1 to 32 printable characters", key, v)
	}
}

func testOwned(t *testing.T, f Fixture) {
	for key := range f.Secrets {
		first, second := get(t, f, key), get(t, f, key)
		secret.Wipe(first.Value.Bytes())
		first.Value.Destroy()
		if string(second.Value.Bytes()) != f.Secrets[key] {
			t.Errorf("%q: wiping one value changed another", key)
		}
		second.Value.Destroy()
		get(t, f, key).Value.Destroy()
	}
}

func testMissing(t *testing.T, f Fixture) {
	s, err := f.Backend.Get(limited(t), f.Missing)
	refused(t, f, s, err, backend.ErrNotFound)
	if ix, ok := f.Backend.(backend.Indexer); ok {
		if _, err := ix.Stat(limited(t), f.Missing); !errors.Is(err, backend.ErrNotFound) {
			t.Errorf("stat: %v", err)
		}
		if _, err := ix.List(limited(t), f.Missing); !errors.Is(err, backend.ErrNotFound) {
			t.Errorf("list: %v", err)
		}
	}
}

func testCancelled(t *testing.T, f Fixture) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for key := range f.Secrets {
			s, err := f.Backend.Get(ctx, key)
			if err == nil { // an answer from memory is as good
				s.Value.Destroy()
			} else if !errors.Is(err, context.Canceled) {
				t.Errorf("%q: %v", key, err)
			}
		}
	}()
	select {
	case <-ended:
	case <-time.After(hang):
		t.Error("goes on although cancelled")
	}
	for key := range f.Secrets {
		get(t, f, key).Value.Destroy() // and nothing was broken by it
	}
}

func testConcurrent(t *testing.T, f Fixture) {
	ctx := limited(t)
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			for key, want := range f.Secrets {
				s, err := f.Backend.Get(ctx, key)
				if err != nil {
					t.Errorf("%q: %v", key, err)
					return
				}
				if string(s.Value.Bytes()) != want {
					t.Errorf("%q: plaintext differs", key)
				}
				s.Value.Destroy()
				if _, err := f.Backend.Get(ctx, f.Missing); !errors.Is(err, backend.ErrNotFound) {
					t.Errorf("missing: %v", err)
				}
			}
		})
	}
	wg.Wait()
}

func testIndex(t *testing.T, f Fixture) {
	ix := f.Backend.(backend.Indexer)
	for key := range f.Secrets {
		s := get(t, f, key)
		info, err := ix.Stat(limited(t), key)
		if err != nil {
			t.Errorf("%q: %v", key, err)
		}
		if info.Size != int64(s.Value.Len()) && info.Size != backend.SizeUnknown {
			t.Errorf("%q: size %d, it has %d bytes", key, info.Size, s.Value.Len())
		}
		if info.Version != s.Version || info.Dir {
			t.Errorf("%q: %+v, but its version is %q", key, info, s.Version)
		}
		s.Value.Destroy()
	}
	listed := map[string]bool{}
	walk(t, ix, "", listed)
	for key := range f.Secrets {
		if key != "" && !listed[key] {
			t.Errorf("%q is not listed", key)
		}
	}
}

// walk lists all leaves below key, and checks that Stat agrees with List.
func walk(t *testing.T, ix backend.Indexer, key string, leaves map[string]bool) {
	entries, err := ix.List(limited(t), key)
	if err != nil {
		t.Errorf("list %q: %v", key, err)
		return
	}
	if again, err := ix.List(limited(t), key); err != nil || !slices.Equal(entries, again) {
		t.Errorf("list %q: another answer the second time: %v", key, err)
	}
	for _, e := range entries {
		child := strings.TrimPrefix(key+"/"+e.Name, "/")
		info, err := ix.Stat(limited(t), child)
		if err != nil || info.Dir != e.Dir {
			t.Errorf("list has %q (directory: %v), stat says %+v, %v", child, e.Dir, info, err)
		}
		if e.Dir {
			walk(t, ix, child, leaves)
		} else {
			leaves[child] = true
		}
	}
}

func testCorrupt(t *testing.T, f Fixture) {
	b, key := f.Corrupt(t)
	defer closeOnce(t, b)
	s, err := b.Get(limited(t), key)
	refused(t, f, s, err, backend.ErrCorrupt)
}

func testLocked(t *testing.T, f Fixture) {
	b, key := f.Locked(t)
	defer closeOnce(t, b)
	s, err := b.Get(limited(t), key)
	if errors.Is(err, backend.ErrRejected) {
		refused(t, f, s, err, backend.ErrRejected)
		return
	}
	refused(t, f, s, err, backend.ErrLocked)
}

// testClose sees locked memory return to what it was before the backend, and
// nothing left to the garbage collector.
func testClose(t *testing.T, fixture func(t *testing.T) Fixture) {
	runtime.GC() // what earlier tests dropped is not this one's
	before := secret.Stats()
	f := fixture(t)
	var keys []string
	for key := range f.Secrets {
		get(t, f, key).Value.Destroy()
		keys = append(keys, key)
	}
	closeOnce(t, f.Backend)
	if after := secret.Stats(); after.Values > before.Values || after.Leaked > before.Leaked {
		t.Errorf("secrets are left: %+v before, %+v after", before, after)
	}
	if s, err := f.Backend.Get(limited(t), keys[0]); err == nil {
		s.Value.Destroy()
		t.Error("a closed backend still answers")
	}
}
