package age

import (
	"bytes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
	"slices"

	"filippo.io/age"
	"filippo.io/age/armor"
	"golang.org/x/crypto/chacha20poly1305"

	"github.com/secretfs/secretfs/backend"
	"github.com/secretfs/secretfs/backend/secret"
)

// Lengths in bytes (C2SP age.md, "Payload").
const (
	nonceLen  = 16
	chunkLen  = 64 << 10
	sealedLen = chunkLen + chacha20poly1305.Overhead
)

// A sealed file is one state of one age file.
type sealed struct {
	header  []byte // up to the payload
	nonce   []byte
	payload []byte // nil where it is not kept
	size    int64  // of the plaintext
	digest  backend.Version
}

// parse takes the bytes of a file, binary or armored, and keeps them. An error
// quotes nothing of them: they may be anything's.
func parse(file []byte) (*sealed, error) {
	if len(file) == 0 {
		return nil, corrupt("the file is empty")
	}
	if bytes.HasPrefix(bytes.TrimLeft(file, " \t\r\n"), []byte("-----BEGIN")) {
		var err error
		if file, err = io.ReadAll(armor.NewReader(bytes.NewReader(file))); err != nil {
			return nil, corrupt("the armor is damaged, or not that of an age file")
		}
	}
	if !bytes.HasPrefix(file, []byte("age-encryption.org/")) {
		return nil, corrupt("it is not an age file")
	}
	header, err := age.ExtractHeader(bytes.NewReader(file))
	if err != nil || !bytes.HasPrefix(file, header) {
		return nil, corrupt("the header is damaged")
	}
	if slices.Contains(stanzaTypes(header), "scrypt") {
		return nil, fmt.Errorf("it is encrypted with a passphrase, and nobody is there to type it: encrypt it to recipients (age -r): %w", backend.ErrUnsupported)
	}
	rest := file[len(header):]
	if len(rest) < nonceLen {
		return nil, corrupt("it is cut short")
	}
	s := &sealed{header: header, nonce: rest[:nonceLen], payload: rest[nonceLen:]}
	var ok bool
	if s.size, ok = plainSize(int64(len(s.payload))); !ok {
		return nil, corrupt("it is cut short, or something follows its end")
	}
	sum := sha256.Sum256(file)
	s.digest = backend.Version(hex.EncodeToString(sum[:8]))
	return s, nil
}

func corrupt(what string) error { return fmt.Errorf("%s: %w", what, backend.ErrCorrupt) }

// plainSize is the length of the plaintext of a payload of n bytes: chunks of 64
// KiB, each with a tag. Only an empty plaintext has an empty chunk.
func plainSize(n int64) (size int64, ok bool) {
	chunks := (n + sealedLen - 1) / sealedLen
	size = n - chunks*chacha20poly1305.Overhead
	last := n - (chunks-1)*sealedLen
	return size, chunks == 1 && size >= 0 || chunks > 1 && last > chacha20poly1305.Overhead
}

// stanzaTypes are the kinds of the recipients of a well-formed header.
func stanzaTypes(header []byte) []string {
	var e eavesdropper
	_, _ = age.DecryptHeader(header, &e) // it has no key
	return e.types
}

// An eavesdropper is an identity that opens nothing and looks at the recipients.
type eavesdropper struct{ types []string }

func (e *eavesdropper) Unwrap(stanzas []*age.Stanza) ([]byte, error) {
	for _, s := range stanzas {
		e.types = append(e.types, s.Type)
	}
	return nil, age.ErrIncorrectIdentity
}

// open decrypts the payload into locked memory.
func (s *sealed) open(fileKey *secret.Value) (*secret.Value, error) {
	key, err := hkdf.Key(sha256.New, fileKey.Bytes(), s.nonce, "payload", chacha20poly1305.KeySize)
	if err != nil {
		return nil, fmt.Errorf("deriving the payload key: %w", err)
	}
	defer secret.Wipe(key)
	aead, err := chacha20poly1305.New(key)
	if err != nil {
		return nil, fmt.Errorf("making the payload cipher: %w", err)
	}
	v, err := secret.New(int(s.size))
	if err != nil {
		return nil, err
	}
	if !openChunks(aead, v.Bytes(), s.payload) {
		v.Destroy()
		return nil, corrupt("the content does not decrypt: it was changed, cut short or damaged")
	}
	return v, nil
}

// openChunks fills out, which has the right length, from payload (C2SP age.md,
// "Payload": STREAM with a counter of 11 bytes and a byte that marks the last
// chunk).
func openChunks(aead cipher.AEAD, out, payload []byte) bool {
	var nonce [chacha20poly1305.NonceSize]byte
	for i := uint64(0); ; i++ {
		binary.BigEndian.PutUint64(nonce[3:11], i)
		chunk := payload[:min(sealedLen, len(payload))]
		payload = payload[len(chunk):]
		n := len(chunk) - aead.Overhead()
		last := len(payload) == 0
		if nonce[len(nonce)-1] = 0; last {
			nonce[len(nonce)-1] = 1
		}
		if _, err := aead.Open(out[:0:n], nonce[:], chunk, nil); err != nil {
			return false
		}
		if out = out[n:]; last {
			return true
		}
	}
}
