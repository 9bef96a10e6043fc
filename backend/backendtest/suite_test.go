package backendtest

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/secretfs/secretfs/backend"
)

var plaintexts = map[string]string{"token": "canary-token-0001", "db/password": "canary-passphrase-0002", "db/deep/key": "canary-key-0003"}

func failing(kind error) func(*testing.T) (backend.Backend, string) {
	return func(*testing.T) (backend.Backend, string) {
		m := NewMemory(plaintexts)
		m.Fail("token", fmt.Errorf("memory: token: %w", kind))
		return m, "token"
	}
}

func TestMemoryPasses(t *testing.T) {
	Run(t, func(*testing.T) Fixture {
		return Fixture{
			Backend: NewMemory(plaintexts), Secrets: plaintexts, Missing: "nope",
			Corrupt: failing(backend.ErrCorrupt), Locked: failing(backend.ErrLocked), Denied: failing(backend.ErrRejected),
			Without: []string{"deadline", "server gone and back", "lock", "kept state", "places"},
		}
	})
}

// TestFarPasses has a backend that is elsewhere pass what only such ones are asked.
func TestFarPasses(t *testing.T) {
	Run(t, func(*testing.T) Fixture {
		return Fixture{
			Backend: NewFar(plaintexts), Secrets: plaintexts, Missing: "nope", Place: "db",
			Corrupt: failing(backend.ErrCorrupt), Locked: failing(backend.ErrLocked), Denied: failing(backend.ErrRejected),
			Server: farServer, Slow: farServer, Without: []string{"index", "lock"},
			Reopen: func(_ *testing.T, s backend.Slot) backend.Backend {
				if s.Save != nil {
					s.Save(backend.Legacy{Rest: []byte("an opaque state")})
				}
				return NewFar(plaintexts)
			},
			Tokens: []string{"canary-credential"}, Log: func() string { return "said nothing" },
		}
	})
}

func farServer(*testing.T) Server {
	f := NewFar(plaintexts)
	return Server{
		Backend: f, Key: "token", Stall: f.Stall, Mend: f.Mend,
		Cut: func() { f.Down(fmt.Errorf("nothing listens: %w", backend.ErrUnavailable)) },
	}
}

// TestNoCaseIsLost: what a driver is not asked it has to say.
func TestNoCaseIsLost(t *testing.T) {
	whole := func() Fixture {
		return Fixture{
			Backend: NewFar(plaintexts), Secrets: plaintexts, Missing: "nope", Place: "db",
			Corrupt: failing(backend.ErrCorrupt), Locked: failing(backend.ErrLocked), Denied: failing(backend.ErrRejected),
			Server: farServer, Slow: farServer, Reopen: func(*testing.T, backend.Slot) backend.Backend { return nil },
			Without: []string{"index", "lock"},
		}
	}
	if run, err := choose(whole()); err != nil || len(run) != len(cases)-2 {
		t.Errorf("%d of %d cases, %v", len(run), len(cases), err)
	}
	for want, change := range map[string]func(*Fixture){
		`has nothing for "deadline"`:             func(f *Fixture) { f.Slow = nil },
		`has nothing for "index"`:                func(f *Fixture) { f.Without = f.Without[1:] },
		`has nothing for "places"`:               func(f *Fixture) { f.Place = "" },
		`without "kept state", and has what it`:  func(f *Fixture) { f.Without = append(f.Without, "kept state") },
		`without "found", and has what it needs`: func(f *Fixture) { f.Without = append(f.Without, "found") },
		`no cases ["no such"]`:                   func(f *Fixture) { f.Without = append(f.Without, "no such") },
		"fewer than two secrets":                 func(f *Fixture) { f.Secrets = nil },
	} {
		f := whole()
		change(&f)
		if run, err := choose(f); run != nil || err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %d cases, %v, want %s", len(run), err, want)
		}
	}
}

func TestLeaks(t *testing.T) {
	for _, text := range []string{"x canary-to y", "63616e6172792d746f", "Y2FuYXJ5LXRv"} {
		if !Leaks(text, "canary-token-0001") {
			t.Errorf("%q is not found out", text)
		}
	}
	if Leaks(errors.New("reading token: canary is missing").Error(), "canary-token-0001") {
		t.Error("an innocent error is accused")
	}
}
