package age

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"

	"filippo.io/age"
	"filippo.io/age/armor"

	"github.com/secretfs/secretfs/backend"
	"github.com/secretfs/secretfs/backend/agefile"
	"github.com/secretfs/secretfs/backend/secret"
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
	if len(rest) < agefile.NonceLen {
		return nil, corrupt("it is cut short")
	}
	s := &sealed{header: header, nonce: rest[:agefile.NonceLen], payload: rest[agefile.NonceLen:]}
	var ok bool
	if s.size, ok = agefile.PlainSize(int64(len(s.payload))); !ok {
		return nil, corrupt("it is cut short, or something follows its end")
	}
	sum := sha256.Sum256(file)
	s.digest = backend.Version(hex.EncodeToString(sum[:8]))
	return s, nil
}

func corrupt(what string) error { return fmt.Errorf("%s: %w", what, backend.ErrCorrupt) }

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
	v, err := agefile.OpenPayload(fileKey, s.nonce, s.payload)
	if errors.Is(err, agefile.ErrDamaged) {
		return nil, corrupt("the content does not decrypt: it was changed, cut short or damaged")
	}
	return v, err
}
