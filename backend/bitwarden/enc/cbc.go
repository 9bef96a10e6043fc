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
	// The last block comes first: it tells how long the plaintext is, and an
	// attachment is not to be in locked memory twice.
	rest, last := s.Data[:len(s.Data)-aes.BlockSize], s.Data[len(s.Data)-aes.BlockSize:]
	iv := s.IV
	if len(rest) > 0 {
		iv = rest[len(rest)-aes.BlockSize:]
	}
	var end [aes.BlockSize]byte
	defer secret.Wipe(end[:])
	cipher.NewCBCDecrypter(block, iv).CryptBlocks(end[:], last)
	n, ok := unpad(end[:], aes.BlockSize)
	if !ok {
		return nil, corrupt("its padding is wrong: it was changed, or encrypted with another key")
	}
	v, err := secret.New(len(rest) + n)
	if err != nil {
		return nil, err
	}
	cipher.NewCBCDecrypter(block, s.IV).CryptBlocks(v.Bytes(), rest)
	copy(v.Bytes()[len(rest):], end[:n])
	return v, nil
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
