package backendtest

import (
	"errors"
	"fmt"
	"testing"

	"github.com/secretfs/secretfs/backend"
)

var plaintexts = map[string]string{"token": "canary-token-0001", "db/password": "canary-password-0002", "db/deep/key": "canary-key-0003"}

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
