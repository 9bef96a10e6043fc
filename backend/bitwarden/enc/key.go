package enc

import (
	"fmt"

	"github.com/secretfs/secretfs/backend"
	"github.com/secretfs/secretfs/backend/secret"
)

// The lengths of symmetric keys in bytes, as they are encoded.
const (
	legacyLen = 32 // AES alone
	pairLen   = 64 // AES and HMAC
)

// A Key is a symmetric key: of an account, an organisation, an item or an
// attachment.
type Key struct {
	raw *secret.Value // as encoded
	// aes and mac are set of keys that are not COSE; mac is nil of a legacy one.
	aes, mac []byte
	alg      int64 // COSE algorithm
	k        []byte
}

// NewKey reads an encoded key, which is the callee's from then on: 32 bytes are
// an AES key of an old account, 64 one for AES and one for HMAC, more a
// COSE_Key with padding. The error wraps backend.ErrCorrupt or
// backend.ErrUnsupported.
func NewKey(raw *secret.Value) (*Key, error) {
	k := &Key{raw: raw}
	b := raw.Bytes()
	switch {
	case len(b) == legacyLen:
		k.aes = b
	case len(b) == pairLen:
		k.aes, k.mac = b[:32], b[32:]
	case len(b) > pairLen:
		if err := k.readCOSE(b); err != nil {
			raw.Destroy()
			return nil, err
		}
	default:
		raw.Destroy()
		return nil, corrupt("a key has %d bytes, expected 32, 64 or more", len(b))
	}
	return k, nil
}

// Encoded is the key as NewKey takes it; it belongs to the Key.
func (k *Key) Encoded() *secret.Value { return k.raw }

// Share makes a second owner of the same key.
func (k *Key) Share() *Key {
	c, err := NewKey(k.raw.Share())
	if err != nil {
		return &Key{} // destroyed already: it opens nothing
	}
	return c
}

// Destroy wipes the key, unless it is shared.
func (k *Key) Destroy() {
	if k != nil {
		k.raw.Destroy()
	}
}

// Open decrypts s. The caller destroys the Value. The error wraps
// backend.ErrCorrupt where s was not encrypted with this key, or was changed.
func (k *Key) Open(s String) (*secret.Value, error) {
	if k == nil || k.raw.Len() == 0 {
		return nil, fmt.Errorf("the key is not there any more: %w", backend.ErrLocked)
	}
	switch {
	case s.Type == COSE && k.k != nil:
		return k.openCOSE(s.Data)
	case s.Type == AESHMAC && k.mac != nil:
		return k.openHMAC(s)
	case s.Type == AES && k.aes != nil && k.mac == nil:
		return openCBC(k.aes, s)
	case s.Type == AES:
		return nil, fmt.Errorf("it has no MAC, which nothing but an old account's key may lack: %w", backend.ErrUnsupported)
	}
	return nil, corrupt("type %d is not encrypted with a key of this kind", s.Type)
}

// OpenKey decrypts s, which is a key.
func (k *Key) OpenKey(s String) (*Key, error) {
	v, err := k.Open(s)
	if err != nil {
		return nil, err
	}
	return NewKey(v)
}
