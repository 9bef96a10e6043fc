package enc

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"

	"github.com/secretfs/secretfs/backend/secret"
)

// openHMAC checks the MAC before anything is decrypted.
func (k *Key) openHMAC(s String) (*secret.Value, error) {
	h := hmac.New(sha256.New, k.mac)
	h.Write(s.IV)
	h.Write(s.Data)
	if !hmac.Equal(h.Sum(nil), s.MAC) {
		return nil, corrupt("its MAC does not fit: it was changed, or encrypted with another key")
	}
	return openCBC(k.aes, s)
}

func openCBC(key []byte, s String) (*secret.Value, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, corrupt("its key has the wrong length")
	}
	// Padding is taken off in place; the value that is kept is as long as the
	// plaintext.
	padded, err := secret.New(len(s.Data))
	if err != nil {
		return nil, err
	}
	defer padded.Destroy()
	b := padded.Bytes()
	cipher.NewCBCDecrypter(block, s.IV).CryptBlocks(b, s.Data)
	n, ok := unpad(b, aes.BlockSize)
	if !ok {
		return nil, corrupt("its padding is wrong: it was changed, or encrypted with another key")
	}
	return clone(b[:n])
}

// unpad gives the length without N bytes of value N at the end, with N at most
// limit (PKCS #7, RFC 5652 6.3).
func unpad(b []byte, limit int) (n int, ok bool) {
	if len(b) == 0 {
		return 0, false
	}
	pad := int(b[len(b)-1])
	if pad == 0 || pad > limit || pad > len(b) {
		return 0, false
	}
	wrong := 0
	for _, p := range b[len(b)-pad:] {
		wrong |= 1 ^ subtle.ConstantTimeByteEq(p, byte(pad))
	}
	return len(b) - pad, wrong == 0
}

func clone(b []byte) (*secret.Value, error) {
	v, err := secret.New(len(b))
	if err == nil {
		copy(v.Bytes(), b)
	}
	return v, err
}
