package backendtest

import (
	"bytes"
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/secretfs/secretfs/backend"
	"github.com/secretfs/secretfs/backend/secret"
)

// testLock sees what a Locker holds go, and the backend work again or say that it
// is locked.
func testLock(t *testing.T, f Fixture) {
	l := f.Backend.(backend.Locker)
	before := secret.Stats() // nothing was asked yet
	for key := range f.Secrets {
		get(t, f, key).Value.Destroy()
	}
	if err := l.Lock(limited(t)); err != nil {
		t.Fatal(err)
	}
	// What works in the background has a moment to notice.
	after := secret.Stats()
	for end := time.Now().Add(5 * time.Second); after.Values > before.Values && time.Now().Before(end); after = secret.Stats() {
		time.Sleep(10 * time.Millisecond)
	}
	if after.Values > before.Values || after.Leaked > before.Leaked {
		t.Errorf("secrets are left: %+v before, %+v after", before, after)
	}
	for key := range f.Secrets {
		s, err := f.Backend.Get(limited(t), key)
		if err != nil {
			refused(t, f, s, err, backend.ErrLocked)
			continue
		}
		if string(s.Value.Bytes()) != f.Secrets[key] {
			t.Errorf("%q: plaintext differs", key)
		}
		s.Value.Destroy()
	}
}

// A keeper is the Slot of a process that keeps what it is given last.
type keeper struct {
	mu    sync.Mutex
	last  backend.Legacy
	saved int
}

func (k *keeper) save(l backend.Legacy) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.last.Keys.Destroy()
	k.last = l
	k.saved++
}

func (k *keeper) count() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.saved
}

// testKept hands what one process kept to the next ones: whole, and damaged in
// ways in which two parts that are written one after the other can be.
func testKept(t *testing.T, f Fixture) {
	var k keeper
	first := f.Reopen(t, backend.Slot{Save: k.save})
	for key := range f.Secrets {
		readFrom(t, f, first, key)
	}
	for end := time.Now().Add(hang); k.count() == 0; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("nothing is kept for the next process")
		}
	}
	closeOnce(t, first)
	defer k.last.Keys.Destroy()
	if Leaks(string(k.last.Rest), f.sensitive()...) {
		t.Error("what is kept in memory that can be swapped shows plaintext or a credential")
	}
	for name, rest := range map[string][]byte{
		"whole": k.last.Rest, "without the rest": nil, "rest cut short": k.last.Rest[:len(k.last.Rest)/2],
		"another's rest": []byte(`{"source":"elsewhere"}`), "rest damaged": damaged(k.last.Rest),
	} {
		reopened(t, f, name, backend.Legacy{Keys: k.last.Keys.Share(), Rest: rest})
	}
	reopened(t, f, "without keys", backend.Legacy{Rest: k.last.Rest})
	if k.last.Keys != nil {
		short, err := secret.New(k.last.Keys.Len() / 2)
		if err != nil {
			t.Fatal(err)
		}
		copy(short.Bytes(), k.last.Keys.Bytes())
		reopened(t, f, "keys cut short", backend.Legacy{Keys: short, Rest: k.last.Rest})
	}
}

func damaged(rest []byte) []byte {
	rest = bytes.Clone(rest)
	for i := range rest {
		if i%7 == 3 {
			rest[i] ^= 1
		}
	}
	return rest
}

func reopened(t *testing.T, f Fixture, name string, l backend.Legacy) {
	t.Helper()
	next := f.Reopen(t, backend.Slot{Saved: l})
	l.Keys.Destroy() // what the Opener has not copied is gone
	defer closeOnce(t, next)
	for _, key := range slices.Sorted(maps.Keys(f.Secrets)) {
		s, err := next.Get(limited(t), key)
		if err != nil {
			t.Errorf("with state kept %s: %q: %v", name, key, err)
			continue
		}
		if string(s.Value.Bytes()) != f.Secrets[key] {
			t.Errorf("with state kept %s: %q: plaintext differs", name, key)
		}
		s.Value.Destroy()
	}
}

func readFrom(t *testing.T, f Fixture, b backend.Backend, key string) {
	t.Helper()
	f.Backend = b
	get(t, f, key).Value.Destroy()
}

// testPlaces lists a Lister, whose items must lead to secrets.
func testPlaces(t *testing.T, f Fixture) {
	l := f.Backend.(backend.Lister)
	if n := walkPlace(t, f, l, f.Place); n == 0 {
		t.Errorf("there are no secrets at %q", f.Place)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	ended := make(chan error, 1)
	go func() { _, err := l.Entries(ctx, f.Place); ended <- err }()
	select {
	case err := <-ended:
		if err != nil && !errors.Is(err, context.Canceled) {
			t.Errorf("cancelled: %v", err)
		}
	case <-time.After(hang):
		t.Error("goes on although cancelled")
	}
}

// walkPlace counts the secrets below a place, and reads each.
func walkPlace(t *testing.T, f Fixture, l backend.Lister, place string) (secrets int) {
	t.Helper()
	items, err := l.Entries(limited(t), place)
	if err != nil {
		t.Errorf("listing %q: %v", place, err)
		return 0
	}
	keys := map[string]bool{}
	for _, it := range items {
		if it.Key == "" || keys[it.Key] {
			t.Errorf("listing %q: %q has no key of its own", place, it.Name)
		}
		keys[it.Key] = true
		if it.Dir {
			secrets += walkPlace(t, f, l, it.Key)
			continue
		}
		secrets++
		s, err := f.Backend.Get(limited(t), it.Key)
		if err != nil {
			t.Errorf("%q is listed: %v", it.Name, err)
			continue
		}
		if want, ok := f.Secrets[it.Key]; ok && string(s.Value.Bytes()) != want {
			t.Errorf("%q: plaintext differs", it.Name)
		}
		s.Value.Destroy()
	}
	return secrets
}
