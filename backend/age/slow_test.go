package age_test

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/secretfs/secretfs/backend"
	"github.com/secretfs/secretfs/backend/age"
	"github.com/secretfs/secretfs/backend/helper"
	"github.com/secretfs/secretfs/backend/secret"
	"github.com/secretfs/secretfs/backend/sops/keys"
)

// A gate is a plugin that waits for somebody to touch a token, for headers of
// files to a recipient besides the usual one.
type gate struct {
	age.Keys
	open chan struct{}
}

func (g gate) FileKey(ctx context.Context, header []byte) (*secret.Value, error) {
	if strings.Count(string(header), "-> X25519") > 1 {
		select {
		case <-g.open:
		case <-ctx.Done():
			return nil, helper.Refuse(backend.ErrTimeout, "nobody touched the token")
		}
	}
	return g.Keys.FileKey(ctx, header)
}

// TestSlowKey: whoever waits for a key delays no Stat of its file, no reader of
// another, and nobody beyond their own deadline.
func TestSlowKey(t *testing.T) {
	p := newPlace(t)
	g := gate{keys.New(keys.Config{KeyFiles: []string{p.keyFile}}, nil), make(chan struct{})}
	b := age.New(age.Config{Dir: p.dir, Keys: g, KeyFiles: []string{p.keyFile}, MaxStale: time.Hour})
	defer b.Close()
	p.seal(t, "a.age", "before")
	p.seal(t, "b.age", "beside")
	version := reads(t, b, "a", "before")
	put(t, filepath.Join(p.dir, "a.age"), seal(t, "after it", p.identity.Recipient(), newIdentity(t).Recipient()))

	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if s, err := b.Get(ctx, "a"); !errors.Is(err, backend.ErrTimeout) {
		t.Errorf("a reader with a deadline: %v, %v", s, err)
	}
	if info := stat(t, b, "a"); info.Version != version || info.Size != 6 {
		t.Errorf("while the key is waited for: %+v, want version %s", info, version)
	}
	reads(t, b, "b", "beside")
	cancelled, cancel := context.WithCancel(t.Context())
	time.AfterFunc(50*time.Millisecond, cancel)
	if s, err := b.Get(cancelled, "a"); !errors.Is(err, context.Canceled) {
		t.Errorf("a reader that was interrupted: %v, %v", s, err)
	}
	close(g.open)
	eventually(t, "the new version is known", func() bool { return stat(t, b, "a").Size == 8 })
	reads(t, b, "a", "after it")
}
