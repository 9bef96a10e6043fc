package backendtest

import (
	"errors"
	"fmt"
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
			Corrupt: failing(backend.ErrCorrupt), Locked: failing(backend.ErrLocked),
		}
	})
}

// TestFarPasses has a backend that is elsewhere pass what only such ones are asked.
func TestFarPasses(t *testing.T) {
	Run(t, func(*testing.T) Fixture {
		return Fixture{
			Backend: NewFar(plaintexts), Secrets: plaintexts, Missing: "nope", Place: "db",
			Corrupt: failing(backend.ErrCorrupt), Locked: failing(backend.ErrLocked), Denied: failing(backend.ErrRejected),
			Server: func(*testing.T) Server {
				f := NewFar(plaintexts)
				return Server{
					Backend: f, Key: "token", Stall: f.Stall, Mend: f.Mend,
					Cut: func() { f.Down(fmt.Errorf("nothing listens: %w", backend.ErrUnavailable)) },
				}
			},
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
