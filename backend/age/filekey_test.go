package age_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/secretfs/secretfs/backend"
	"github.com/secretfs/secretfs/backend/age"
	"github.com/secretfs/secretfs/backend/secret"
	"github.com/secretfs/secretfs/backend/sops/keys"
)

// A counter counts how often a file key is recovered: each time may be a touch of
// a token.
type counter struct {
	age.Keys
	n atomic.Int32
}

func (c *counter) FileKey(ctx context.Context, header []byte) (*secret.Value, error) {
	c.n.Add(1)
	return c.Keys.FileKey(ctx, header)
}

func (c *counter) asked(t *testing.T, want int32, when string) {
	t.Helper()
	if got := c.n.Swap(0); got != want {
		t.Errorf("%s: asked %d times, want %d", when, got, want)
	}
}

func TestFileKeysAreKept(t *testing.T) {
	p := newPlace(t)
	c := &counter{Keys: keys.New(keys.Config{KeyFiles: []string{p.keyFile}}, nil)}
	b := age.New(age.Config{Dir: p.dir, Keys: c, KeyFiles: []string{p.keyFile}, MaxStale: time.Hour})
	defer b.Close()
	p.seal(t, "a.age", "one")
	reads(t, b, "a", "one")
	reads(t, b, "a", "one")
	c.asked(t, 1, "read twice")

	p.seal(t, "a.age", "one")
	reads(t, b, "a", "one")
	reads(t, b, "a", "one")
	c.asked(t, 1, "rekeyed")

	must(t, b.Lock(t.Context()))
	if got, _, err := get(t, b, "a"); !errors.Is(err, backend.ErrLocked) {
		t.Errorf("locked: got %q, %v", got, err)
	}
	c.asked(t, 0, "locked")
	if err := b.Unlock(t.Context()); !errors.Is(err, backend.ErrUnsupported) {
		t.Errorf("unlocking where a file alone can tell: %v", err)
	}
	reads(t, b, "a", "one")
	c.asked(t, 1, "unlocked")

	must(t, os.WriteFile(filepath.Join(p.dir, "a.age"), []byte("broken"), 0o600))
	for range 3 {
		if got, _, _ := get(t, b, "a"); got != "one" {
			t.Errorf("broken: got %q", got)
		}
	}
	c.asked(t, 0, "broken")
	p.seal(t, "a.age", "one")
	reads(t, b, "a", "one")
	c.n.Store(0)

	put(t, p.keyFile, newIdentity(t).String())
	if _, _, err := get(t, b, "a"); err == nil {
		t.Error("the identity was withdrawn, and its file key still opens")
	} else {
		says(t, err, backend.ErrLocked, "no identity matches: it is encrypted to recipients of type X25519")
	}
}
