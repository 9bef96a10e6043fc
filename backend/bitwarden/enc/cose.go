package enc

import (
	"crypto/cipher"
	"fmt"

	"golang.org/x/crypto/chacha20poly1305"

	"github.com/secretfs/secretfs/backend"
	"github.com/secretfs/secretfs/backend/secret"
)

// Labels and values of COSE (RFC 9052, RFC 9053) as Bitwarden uses them.
const (
	labelAlg         = 1
	labelContentType = 3
	labelNonce       = 5

	keyType      = 1
	keyAlg       = 3
	keySymmetric = 4
	keyK         = -1

	algXChaCha20 = -70000 // XChaCha20-Poly1305
	algXAES      = -70010 // XAES-256-GCM

	// paddedText says that N bytes of value N follow the plaintext.
	paddedText = "application/x.bitwarden.utf8-padded"
)

// readCOSE reads a COSE_Key behind which N bytes of value N stand.
func (k *Key) readCOSE(b []byte) error {
	n, ok := unpad(b, len(b))
	if !ok {
		return corrupt("a key has the wrong padding")
	}
	c := cbor{rest: b[:n]}
	kty := int64(0)
	for range c.count(cborMap) {
		switch c.label() {
		case keyType:
			kty = c.integer()
		case keyAlg:
			k.alg = c.integer()
		case keyK:
			k.k = c.bytes(cborBytes)
		default:
			c.skip()
		}
	}
	if c.bad || kty != keySymmetric || len(k.k) != 32 {
		return corrupt("it is not a COSE key of 32 bytes")
	}
	_, err := k.aead()
	return err
}

func (k *Key) aead() (cipher.AEAD, error) {
	switch k.alg {
	case algXChaCha20:
		return chacha20poly1305.NewX(k.k)
	case algXAES:
		return newXAES(k.k)
	}
	return nil, fmt.Errorf("a key is for an algorithm (COSE %d) that is not known here: %w", k.alg, backend.ErrUnsupported)
}

// openCOSE decrypts a COSE_Encrypt0 (RFC 9052 5.2).
func (k *Key) openCOSE(b []byte) (*secret.Value, error) {
	c := cbor{rest: b}
	if len(b) > 0 && b[0]>>5 == 6 { // tagged
		c.head()
	}
	if c.count(cborArray) != 3 {
		return nil, corrupt("it is not a COSE_Encrypt0")
	}
	protected := c.bytes(cborBytes)
	alg, contentType := headers(protected)
	var nonce []byte
	for range c.count(cborMap) {
		if c.label() == labelNonce {
			nonce = c.bytes(cborBytes)
		} else {
			c.skip()
		}
	}
	ciphertext := c.bytes(cborBytes)
	if c.bad || len(c.rest) > 0 {
		return nil, corrupt("it is not a COSE_Encrypt0")
	}
	if alg != k.alg {
		return nil, corrupt("it is encrypted with algorithm %d, but the key is for %d", alg, k.alg)
	}
	v, err := k.openAEAD(nonce, ciphertext, protected)
	if err != nil || contentType != paddedText {
		return v, err
	}
	defer v.Destroy()
	n, ok := unpad(v.Bytes(), v.Len())
	if !ok {
		return nil, corrupt("its padding is wrong")
	}
	return clone(v.Bytes()[:n])
}

func headers(protected []byte) (alg int64, contentType string) {
	c := cbor{rest: protected}
	for range c.count(cborMap) {
		switch c.label() {
		case labelAlg:
			alg = c.integer()
		case labelContentType:
			if len(c.rest) > 0 && c.rest[0]>>5 == cborText {
				contentType = string(c.bytes(cborText))
			} else {
				c.skip()
			}
		default:
			c.skip()
		}
	}
	if c.bad {
		return 0, ""
	}
	return alg, contentType
}

// openAEAD authenticates the protected headers too (RFC 9052 5.3).
func (k *Key) openAEAD(nonce, ciphertext, protected []byte) (*secret.Value, error) {
	aead, err := k.aead()
	if err != nil {
		return nil, err
	}
	if len(nonce) != aead.NonceSize() || len(ciphertext) < aead.Overhead() {
		return nil, corrupt("its parts have the wrong lengths")
	}
	ad := append([]byte{cborArray<<5 | 3, cborText<<5 | 8}, "Encrypt0"...)
	ad = append(appendBytes(ad, protected), cborBytes<<5)
	v, err := secret.New(len(ciphertext) - aead.Overhead())
	if err != nil {
		return nil, err
	}
	if _, err := aead.Open(v.Bytes()[:0], nonce, ciphertext, ad); err != nil {
		v.Destroy()
		return nil, corrupt("it does not decrypt: it was changed, or encrypted with another key")
	}
	return v, nil
}
