package enc

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/subtle"
	"errors"

	"github.com/secretfs/secretfs/backend/secret"
)

const (
	xaesNonceLen = 24
	gcmNonceLen  = 12
	gcmTagLen    = 16
)

// An xaes is XAES-256-GCM (c2sp.org/XAES-256-GCM): AES-256-GCM under a key that
// is derived, for each nonce of 24 bytes, with CMAC.
type xaes struct {
	block cipher.Block
	k1    [aes.BlockSize]byte
}

func newXAES(key []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(key)
	if err != nil || len(key) != 32 {
		return nil, corrupt("a key has %d bytes, expected 32", len(key))
	}
	x := &xaes{block: block}
	block.Encrypt(x.k1[:], x.k1[:])
	msb := 0
	for i := len(x.k1) - 1; i >= 0; i-- {
		msb, x.k1[i] = int(x.k1[i]>>7), x.k1[i]<<1|byte(msb)
	}
	x.k1[len(x.k1)-1] ^= byte(subtle.ConstantTimeSelect(msb, 0b10000111, 0))
	return x, nil
}

func (x *xaes) NonceSize() int { return xaesNonceLen }
func (x *xaes) Overhead() int  { return gcmTagLen }

// derive makes the AES-GCM of a nonce, of which the last 12 bytes are left to it.
func (x *xaes) derive(nonce []byte) cipher.AEAD {
	var key [32]byte
	defer secret.Wipe(key[:])
	for i := range 2 {
		half := key[i*aes.BlockSize:][:aes.BlockSize]
		half[1], half[2] = byte(i+1), 'X'
		copy(half[4:], nonce[:12])
		subtle.XORBytes(half, half, x.k1[:])
		x.block.Encrypt(half, half)
	}
	block, err := aes.NewCipher(key[:])
	if err != nil {
		panic(err) // 32 bytes are right
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		panic(err) // AES has the right block size
	}
	return aead
}

func (x *xaes) Seal(dst, nonce, plaintext, ad []byte) []byte {
	if len(nonce) != xaesNonceLen {
		panic("xaes: a nonce of the wrong length")
	}
	return x.derive(nonce).Seal(dst, nonce[gcmNonceLen:], plaintext, ad)
}

func (x *xaes) Open(dst, nonce, ciphertext, ad []byte) ([]byte, error) {
	if len(nonce) != xaesNonceLen {
		return nil, errors.New("a nonce of the wrong length")
	}
	return x.derive(nonce).Open(dst, nonce[gcmNonceLen:], ciphertext, ad)
}
