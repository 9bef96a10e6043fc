// Package agefile reads and writes age files (C2SP age.md, "Payload") with the
// plaintext in locked memory alone: the age library has it on the Go heap.
package agefile

import (
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"

	"golang.org/x/crypto/chacha20poly1305"

	"github.com/secretfs/secretfs/backend/secret"
)

// Lengths in bytes.
const (
	NonceLen = 16
	ChunkLen = 64 << 10 // of plaintext

	sealedLen = ChunkLen + chacha20poly1305.Overhead
)

// ErrDamaged says that a payload does not decrypt: it was changed, cut short, or
// is of another file key.
var ErrDamaged = errors.New("the content does not decrypt")

// PlainSize is the length of the plaintext of a payload of n bytes: chunks of 64
// KiB, each with a tag. Only an empty plaintext has an empty chunk.
func PlainSize(n int64) (size int64, ok bool) {
	chunks := (n + sealedLen - 1) / sealedLen
	size = n - chunks*chacha20poly1305.Overhead
	last := n - (chunks-1)*sealedLen
	return size, chunks == 1 && size >= 0 || chunks > 1 && last > chacha20poly1305.Overhead
}

// OpenPayload decrypts a payload, whose length PlainSize likes, with the file key
// and the nonce before it. The caller destroys the Value.
func OpenPayload(fileKey *secret.Value, nonce, payload []byte) (*secret.Value, error) {
	size, ok := PlainSize(int64(len(payload)))
	if !ok {
		return nil, ErrDamaged
	}
	aead, err := payloadCipher(fileKey.Bytes(), nonce)
	if err != nil {
		return nil, err
	}
	v, err := secret.New(int(size))
	if err != nil {
		return nil, err
	}
	out := v.Bytes()
	for c := (counter{}); ; c.n++ {
		chunk := payload[:min(sealedLen, len(payload))]
		payload = payload[len(chunk):]
		n := len(chunk) - aead.Overhead()
		last := len(payload) == 0
		if _, err := aead.Open(out[:0:n], c.nonce(last), chunk, nil); err != nil {
			v.Destroy()
			return nil, ErrDamaged
		}
		if out = out[n:]; last {
			return v, nil
		}
	}
}

// appendPayload appends what OpenPayload opens to dst.
func appendPayload(dst, fileKey, nonce, plain []byte) ([]byte, error) {
	aead, err := payloadCipher(fileKey, nonce)
	if err != nil {
		return nil, err
	}
	for c := (counter{}); ; c.n++ {
		chunk := plain[:min(ChunkLen, len(plain))]
		plain = plain[len(chunk):]
		last := len(plain) == 0
		dst = aead.Seal(dst, c.nonce(last), chunk, nil)
		if last {
			return dst, nil
		}
	}
}

func payloadCipher(fileKey, nonce []byte) (cipher.AEAD, error) {
	key, err := hkdf.Key(sha256.New, fileKey, nonce, "payload", chacha20poly1305.KeySize)
	if err != nil {
		return nil, fmt.Errorf("deriving the payload key: %w", err)
	}
	defer secret.Wipe(key)
	aead, err := chacha20poly1305.New(key)
	if err != nil {
		return nil, fmt.Errorf("making the payload cipher: %w", err)
	}
	return aead, nil
}

// A counter makes the nonces of the chunks: 11 bytes that count them, and one that
// marks the last.
type counter struct{ n uint64 }

func (c counter) nonce(last bool) []byte {
	var nonce [chacha20poly1305.NonceSize]byte
	binary.BigEndian.PutUint64(nonce[3:11], c.n)
	if last {
		nonce[len(nonce)-1] = 1
	}
	return nonce[:]
}
