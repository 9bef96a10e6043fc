package age_test

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/secretfs/secretfs/backend"
	"github.com/secretfs/secretfs/backend/age"
	"github.com/secretfs/secretfs/backend/secret"
	"github.com/secretfs/secretfs/backend/sops/keys"
)

// A relay hands the state of one backend to the next.
type relay chan backend.Legacy

func (r relay) open(t *testing.T, p *place, saved backend.Legacy) (*age.Backend, *counter) {
	t.Helper()
	c := &counter{Keys: keys.New(keys.Config{KeyFiles: []string{p.keyFile}}, nil)}
	b := age.New(age.Config{
		Dir: p.dir, Keys: c, KeyFiles: []string{p.keyFile}, MaxStale: time.Hour,
		Save: func(l backend.Legacy) { r <- l }, Saved: saved,
	})
	t.Cleanup(func() { b.Close() })
	return b, c
}

func (r relay) next(t *testing.T) backend.Legacy {
	t.Helper()
	select {
	case l := <-r:
		return l
	case <-time.After(20 * time.Second):
		t.Fatal("nothing was saved")
		return backend.Legacy{}
	}
}

// TestNextProcess: versions of rekeyed files, last good versions and file keys
// outlive the process; plaintext is not handed on.
func TestNextProcess(t *testing.T) {
	p, r := newPlace(t), make(relay, 100)
	first, _ := r.open(t, p, backend.Legacy{})
	for _, key := range []string{"a", "broken", "gone", "rekeyed later"} {
		p.seal(t, key+".age", "canary "+key)
	}
	version := reads(t, first, "a", "canary a")
	p.seal(t, "a.age", "canary a") // rekeyed
	for _, key := range []string{"a", "broken", "gone", "rekeyed later"} {
		get(t, first, key)
	}
	if got := reads(t, first, "a", "canary a"); got != version {
		t.Errorf("rekeyed: version %s, before %s", got, version)
	}
	later := reads(t, first, "rekeyed later", "canary rekeyed later")
	state := r.next(t)
	for !bytes.Contains(state.Rest, []byte(later)) { // what was read last
		state = r.next(t)
	}
	must(t, first.Close())

	put(t, filepath.Join(p.dir, "broken.age"), "broken")
	must(t, os.Remove(filepath.Join(p.dir, "gone.age")))
	p.seal(t, "rekeyed later.age", "canary rekeyed later")
	second, c := r.open(t, p, state)
	if info := stat(t, second, "a"); info.Version != version || info.Stale != nil {
		t.Errorf("the next process says %+v, the version was %s", info, version)
	}
	reads(t, second, "a", "canary a")
	c.asked(t, 0, "what another process had opened")
	if got := reads(t, second, "rekeyed later", "canary rekeyed later"); got != later {
		t.Errorf("rekeyed between processes: version %s, before %s", got, later)
	}
	if got, _, err := get(t, second, "broken"); got != "canary broken" || err == nil {
		t.Errorf("broken between processes: got %q, %v", got, err)
	}
	if got, _, err := get(t, second, "gone"); got != "" || err == nil {
		t.Errorf("removed between processes: got %q, %v", got, err)
	}
	if bytes.Contains(state.Rest, []byte("canary")) || state.Keys.Len() != 4*16 {
		t.Errorf("handed on: plaintext, or %d bytes of keys, want those of 4 files", state.Keys.Len())
	}

	for _, torn := range []backend.Legacy{
		{Rest: state.Rest[:len(state.Rest)/2]},
		{Rest: state.Rest}, // without its keys
		{Rest: state.Rest, Keys: wrongKeys(t, state.Keys.Len())},
	} {
		third, _ := r.open(t, p, torn)
		if got := reads(t, third, "a", "canary a"); torn.Keys != nil && got != version {
			t.Errorf("with wrong keys: version %s, before %s", got, version)
		}
	}
}

func wrongKeys(t *testing.T, n int) *secret.Value {
	t.Helper()
	v, err := secret.New(n)
	must(t, err)
	t.Cleanup(v.Destroy)
	return v
}
