package harness

import (
	"testing"

	"filippo.io/age"
)

// newIdentity makes an age key.
func newIdentity(t testing.TB) (identity, recipient string) {
	t.Helper()
	k, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	return k.String(), k.Recipient().String()
}

// NewIdentity is a fresh age key, which decrypts nothing yet.
func NewIdentity(t testing.TB) string {
	identity, _ := newIdentity(t)
	return identity
}
