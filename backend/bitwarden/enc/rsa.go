package enc

import (
	"crypto"
	"crypto/rsa"
	_ "crypto/sha1" // Bitwarden's OAEP
	_ "crypto/sha256"
	"crypto/x509"
	"fmt"

	"github.com/secretfs/secretfs/backend"
	"github.com/secretfs/secretfs/backend/secret"
)

// A PrivateKey opens what was encrypted to an account: keys of organisations.
// Its numbers are on the Go heap, where they cannot be wiped: keep it no longer
// than it takes to open those.
type PrivateKey struct{ key *rsa.PrivateKey }

// NewPrivateKey reads a PKCS #8 private key (DER), which stays the caller's.
func NewPrivateKey(der *secret.Value) (*PrivateKey, error) {
	key, err := x509.ParsePKCS8PrivateKey(der.Bytes())
	if err != nil {
		return nil, corrupt("it is not a private key") // err may quote it
	}
	k, ok := key.(*rsa.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("the account's private key is of a kind that is not known here: %w", backend.ErrUnsupported)
	}
	return &PrivateKey{k}, nil
}

// OpenKey decrypts s, which is a symmetric key.
func (k *PrivateKey) OpenKey(s String) (*Key, error) {
	var h crypto.Hash
	switch s.Type {
	case RSASHA1, RSASHA1MAC:
		h = crypto.SHA1
	case RSASHA256, RSASHA256MAC:
		h = crypto.SHA256
	default:
		return nil, corrupt("type %d is not encrypted with a private key", s.Type)
	}
	b, err := k.key.Decrypt(nil, s.Data, &rsa.OAEPOptions{Hash: h})
	if err != nil {
		return nil, corrupt("it does not decrypt: it was changed, or encrypted to another account")
	}
	v, err := secret.From(b)
	if err != nil {
		return nil, err
	}
	return NewKey(v)
}
