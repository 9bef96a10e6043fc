package enc

import (
	"crypto/hkdf"
	"crypto/sha256"
	"fmt"

	"github.com/secretfs/secretfs/backend/secret"
)

// Stretch makes the Key that opens an account's key out of a master key of 32
// bytes, which stays the caller's.
func Stretch(master *secret.Value) (*Key, error) {
	if master.Len() != 32 {
		return nil, fmt.Errorf("stretching a master key of %d bytes, expected 32", master.Len())
	}
	return expand(master, "enc", "mac")
}

// Derive makes a Key for AES and HMAC that is used for nothing but purpose, and
// from which k cannot be found.
func (k *Key) Derive(purpose string) (*Key, error) {
	return expand(k.raw, purpose+" enc", purpose+" mac")
}

// expand is HKDF-Expand (RFC 5869) with SHA-256, for each half of a key.
func expand(from *secret.Value, infos ...string) (*Key, error) {
	v, err := secret.New(pairLen)
	if err != nil {
		return nil, err
	}
	for i, info := range infos {
		half, err := hkdf.Expand(sha256.New, from.Bytes(), info, 32)
		if err != nil {
			v.Destroy()
			return nil, fmt.Errorf("deriving a key: %w", err)
		}
		copy(v.Bytes()[32*i:], half)
		secret.Wipe(half)
	}
	return NewKey(v)
}

// OpenAccountKey decrypts an account's key. That of very old accounts is
// encrypted with the master key as it is and has no MAC.
func OpenAccountKey(master *secret.Value, s String) (*Key, error) {
	if s.Type == AES {
		v, err := clone(master.Bytes())
		if err != nil {
			return nil, err
		}
		k, err := NewKey(v)
		if err != nil {
			return nil, err
		}
		defer k.Destroy()
		return k.OpenKey(s)
	}
	stretched, err := Stretch(master)
	if err != nil {
		return nil, err
	}
	defer stretched.Destroy()
	return stretched.OpenKey(s)
}
