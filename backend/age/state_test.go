package age_test

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/secretfs/secretfs/backend"
	"github.com/secretfs/secretfs/backend/age"
	"github.com/secretfs/secretfs/backend/sops/keys"
)

// A relay hands the state of one backend to the next.
type relay chan backend.Legacy

func (r relay) open(t *testing.T, p *place, saved backend.Legacy) *age.Backend {
	t.Helper()
	b := age.New(age.Config{
		Dir: p.dir, Keys: keys.New(keys.Config{KeyFiles: []string{p.keyFile}}, nil), MaxStale: time.Hour,
		Save: func(l backend.Legacy) { r <- l }, Saved: saved,
	})
	t.Cleanup(func() { b.Close() })
	return b
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

// TestNextProcess: versions of rekeyed files and last good versions outlive the
// process; plaintext and keys are not handed on.
func TestNextProcess(t *testing.T) {
	p, r := newPlace(t), make(relay, 100)
	first := r.open(t, p, backend.Legacy{})
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
	second := r.open(t, p, state)
	if info := stat(t, second, "a"); info.Version != version || info.Stale != nil {
		t.Errorf("the next process says %+v, the version was %s", info, version)
	}
	reads(t, second, "a", "canary a")
	if got := reads(t, second, "rekeyed later", "canary rekeyed later"); got != later {
		t.Errorf("rekeyed between processes: version %s, before %s", got, later)
	}
	if got, _, err := get(t, second, "broken"); got != "canary broken" || err == nil {
		t.Errorf("broken between processes: got %q, %v", got, err)
	}
	if got, _, err := get(t, second, "gone"); got != "" || err == nil {
		t.Errorf("removed between processes: got %q, %v", got, err)
	}
	if state.Keys != nil || bytes.Contains(state.Rest, []byte("canary")) {
		t.Error("keys or plaintexts are handed on")
	}

	third := r.open(t, p, backend.Legacy{Rest: state.Rest[:len(state.Rest)/2]}) // torn
	reads(t, third, "a", "canary a")
}
