package bws

import (
	"bytes"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/base64"
	"fmt"

	"github.com/secretfs/secretfs/backend"
	"github.com/secretfs/secretfs/backend/bitwarden/enc"
	"github.com/secretfs/secretfs/backend/secret"
)

// tokenKeyLen is the length of the key in an access token, in bytes.
const tokenKeyLen = 16

// A token is an access token, 0.ID.SECRET:KEY: the first three log in, the key
// never leaves the machine and opens what the login answers.
type token struct {
	whole      *secret.Value
	id, secret []byte // parts of whole
	key        *enc.Key
}

// parseToken takes v over. The error quotes nothing of it.
func parseToken(v *secret.Value) (*token, error) {
	t := &token{whole: v}
	head, key, ok := bytes.Cut(bytes.TrimSpace(v.Bytes()), []byte(":"))
	parts := bytes.Split(head, []byte("."))
	if !ok || len(parts) != 3 {
		v.Destroy()
		return nil, badToken("it has not the form 0.ID.SECRET:KEY in which Bitwarden shows it once")
	}
	if string(parts[0]) != "0" {
		v.Destroy()
		return nil, badToken("it is of a version that is not known here")
	}
	t.id, t.secret = parts[1], parts[2]
	if !isUUID(string(t.id)) || len(t.secret) == 0 {
		v.Destroy()
		return nil, badToken("it is damaged before the colon")
	}
	var err error
	if t.key, err = deriveKey(key); err != nil {
		v.Destroy()
		return nil, err
	}
	return t, nil
}

func badToken(what string) error { return fmt.Errorf("%s: %w", what, backend.ErrRejected) }

// deriveKey stretches the key of a token, whose padding may be missing.
func deriveKey(text []byte) (*enc.Key, error) {
	text = bytes.TrimRight(text, "=")
	var raw [tokenKeyLen + 2]byte
	defer secret.Wipe(raw[:])
	if base64.RawStdEncoding.DecodedLen(len(text)) > len(raw) {
		return nil, badToken("the key after the colon has the wrong length")
	}
	n, err := base64.RawStdEncoding.Decode(raw[:], text)
	if err != nil || n != tokenKeyLen {
		return nil, badToken("the key after the colon is damaged")
	}
	long, err := hkdf.Key(sha256.New, raw[:n], []byte("bitwarden-accesstoken"), "sm-access-token", 64)
	if err != nil {
		return nil, fmt.Errorf("deriving a key: %w", err)
	}
	v, err := secret.From(long)
	if err != nil {
		return nil, err
	}
	return enc.NewKey(v)
}

func (t *token) destroy() {
	t.whole.Destroy()
	t.key.Destroy()
}

// form is the body of a login (RFC 6749, 4.4). The caller wipes it.
func (t *token) form() []byte {
	b := make([]byte, 0, 128+3*t.whole.Len()) // never grows, so that no copy is left
	b = append(b, "scope=api.secrets&client_id="...)
	b = append(b, t.id...)
	b = append(b, "&client_secret="...)
	for _, c := range t.secret {
		b = appendEscaped(b, c)
	}
	return append(b, "&grant_type=client_credentials"...)
}

func appendEscaped(b []byte, c byte) []byte {
	const digits = "0123456789ABCDEF"
	if c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' {
		return append(b, c)
	}
	return append(b, '%', digits[c>>4], digits[c&15])
}
