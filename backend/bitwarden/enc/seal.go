package enc

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"fmt"

	"github.com/secretfs/secretfs/backend/secret"
)

// Seal encrypts plaintext with a key for AES and HMAC, and gives the text form
// (type 2). It is for what we keep ourselves.
func (k *Key) Seal(plaintext []byte) (string, error) {
	if k.mac == nil {
		return "", fmt.Errorf("encrypting with a key that is not for AES and HMAC")
	}
	block, err := aes.NewCipher(k.aes)
	if err != nil {
		return "", fmt.Errorf("encrypting: %w", err)
	}
	pad := aes.BlockSize - len(plaintext)%aes.BlockSize
	padded := make([]byte, len(plaintext)+pad)
	defer secret.Wipe(padded)
	copy(padded, plaintext)
	for i := range pad {
		padded[len(plaintext)+i] = byte(pad)
	}
	iv := make([]byte, ivLen)
	rand.Read(iv)
	data := make([]byte, len(padded))
	cipher.NewCBCEncrypter(block, iv).CryptBlocks(data, padded)
	h := hmac.New(sha256.New, k.mac)
	h.Write(iv)
	h.Write(data)
	e := base64.StdEncoding.EncodeToString
	return fmt.Sprintf("%d.%s|%s|%s", AESHMAC, e(iv), e(data), e(h.Sum(nil))), nil
}

// MAC authenticates parts with the half of a key that is for that.
func (k *Key) MAC(parts ...[]byte) []byte {
	h := hmac.New(sha256.New, k.mac)
	for _, p := range parts {
		h.Write(p)
	}
	return h.Sum(nil)
}
