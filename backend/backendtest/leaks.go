package backendtest

import (
	"encoding/base64"
	"encoding/hex"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/secretfs/secretfs/backend"
)

// refused wants this error, no secret, and no plaintext in the error.
func refused(t *testing.T, f Fixture, s *backend.Secret, err, want error) {
	t.Helper()
	if s != nil {
		t.Error("a secret came with the error")
		s.Value.Destroy()
	}
	if !errors.Is(err, want) {
		t.Errorf("got %v, want %v", err, want)
		return
	}
	quotesNothing(t, f, err)
}

func quotesNothing(t *testing.T, f Fixture, err error) {
	t.Helper()
	if Leaks(err.Error(), f.sensitive()...) {
		t.Error("the error quotes plaintext or a credential (not shown here)")
	}
}

// silent wants nothing in the log that is not to be there.
func silent(t *testing.T, f Fixture) {
	if f.Log != nil && Leaks(f.Log(), f.sensitive()...) {
		t.Error("the log shows plaintext or a credential (not shown here)")
	}
}

func (f Fixture) sensitive() []string {
	return append(slices.Collect(maps.Values(f.Secrets)), f.Tokens...)
}

// Leaks says whether text shows eight bytes or more of one of the plaintexts,
// as they are, in hex or in base64.
func Leaks(text string, plaintexts ...string) bool {
	const window = 8
	for _, p := range plaintexts {
		for _, spelt := range []string{p, hex.EncodeToString([]byte(p)), base64.StdEncoding.EncodeToString([]byte(p))} {
			for i := 0; i+window <= len(spelt); i++ {
				if strings.Contains(text, spelt[i:i+window]) {
					return true
				}
			}
		}
	}
	return false
}
