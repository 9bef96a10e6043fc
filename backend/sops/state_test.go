package sops

import (
	"bytes"
	"errors"
	"os"
	"testing"
	"time"

	"github.com/secretfs/secretfs/backend"
	"github.com/secretfs/secretfs/backend/secret"
	"golang.org/x/sys/unix"
)

func TestState(t *testing.T) {
	states := make(chan backend.Legacy, 10)
	keep := func(c *Config) { c.Save = keepState(states) }
	f := newFixture(t, sample(t, "one"), keep)
	if _, err := f.get("a"); err != nil {
		t.Fatal(err)
	}
	state := <-states
	f.Close()

	// The file is the same: nobody is asked for the data key.
	same := newFixture(t, nil, func(c *Config) { c.File, c.Saved = f.file, state })
	if got, err := same.get("a"); got != "one" || err != nil || same.keys.calls.Load() != 0 {
		t.Errorf("the same file: %q, %v, %d data keys recovered", got, err, same.keys.calls.Load())
	}

	// It is broken: the last good version is served, for as long as the first
	// process would have.
	write(t, f.file, []byte("nonsense"))
	broken := newFixture(t, nil, func(c *Config) { c.File, c.Saved = f.file, state }, keep)
	if got, err := broken.get("a"); got != "one" || err != nil {
		t.Errorf("a broken file: %q, %v", got, err)
	}
	if s, err := broken.State(); s != backend.Stale || !errors.Is(err, backend.ErrCorrupt) {
		t.Errorf("a broken file: the state is %s, %v", s, err)
	}
	since := decodeState(<-states, broken.cfg.source()).since
	if since.IsZero() || since.After(time.Now()) {
		t.Errorf("a broken file: the state says since %v", since)
	}

	// Nobody answers: the last good version is served at once.
	os.Remove(f.file)
	if err := unix.Mkfifo(f.file, 0o600); err != nil {
		t.Fatal(err)
	}
	stuck := newFixture(t, nil, func(c *Config) { c.File, c.Saved = f.file, state })
	if got, err := stuck.get("a"); got != "one" || err != nil {
		t.Errorf("a FIFO: %q, %v", got, err)
	}
	unstick(t, f.file)

	// The policy has given its name to another file, which does not exist.
	moved := newFixture(t, nil, func(c *Config) { c.Saved = state })
	if got, err := moved.get("a"); !errors.Is(err, backend.ErrUnavailable) {
		t.Errorf("another file: %q, %v", got, err)
	}

	other, err := secret.From(bytes.Repeat([]byte("k"), 32))
	if err != nil {
		t.Fatal(err)
	}
	for _, bad := range []backend.Legacy{
		{},
		{Rest: state.Rest},
		{Keys: state.Keys},
		{Keys: state.Keys, Rest: state.Rest[:20]},
		{Keys: state.Keys, Rest: state.Rest[:len(state.Rest)-9]},
		{Keys: other, Rest: state.Rest},
	} {
		b := New(Config{File: f.file, Format: YAML, Saved: bad})
		if b.restore(newLoad()); b.good != nil {
			t.Error("half a state is taken")
		}
		b.Close()
	}
}
