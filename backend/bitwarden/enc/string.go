package enc

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"strconv"

	"github.com/secretfs/secretfs/backend"
)

// A Type says how a String is encrypted.
type Type uint8

// The types that are read. 1 (AES-128) has been given up by the official
// clients too.
const (
	AES          Type = 0 // AES-256-CBC without a MAC, of very old accounts
	AESHMAC      Type = 2 // AES-256-CBC, then HMAC-SHA256 over IV and ciphertext
	RSASHA256    Type = 3 // RSA-OAEP
	RSASHA1      Type = 4 // RSA-OAEP, which organisation keys have
	RSASHA256MAC Type = 5 // the same with a MAC that nobody checks
	RSASHA1MAC   Type = 6
	COSE         Type = 7 // COSE_Encrypt0
)

const (
	ivLen  = 16
	macLen = 32
)

// A String is one encrypted string. The zero String is none.
type String struct {
	Type Type
	IV   []byte
	Data []byte // ciphertext; of COSE the whole structure
	MAC  []byte
	set  bool
}

// Given says that there is such a string.
func (s String) Given() bool { return s.set }

// Parse reads the text form: a type, a dot, and parts in base64 with bars
// between them. The error wraps backend.ErrCorrupt or, for a type that is not
// known, backend.ErrUnsupported.
func Parse(text string) (String, error) {
	kind, rest, ok := bytes.Cut([]byte(text), []byte("."))
	n, err := strconv.ParseUint(string(kind), 10, 8)
	if !ok || err != nil || len(kind) != 1 {
		return String{}, corrupt("it is not an encrypted string")
	}
	var parts [][]byte
	for part := range bytes.SplitSeq(rest, []byte("|")) {
		b := make([]byte, base64.StdEncoding.DecodedLen(len(part)))
		m, err := base64.StdEncoding.Decode(b, part)
		if err != nil || len(parts) == 3 {
			return String{}, corrupt("it is not an encrypted string")
		}
		parts = append(parts, b[:m])
	}
	return assemble(Type(n), parts)
}

// assemble makes a String of its parts.
func assemble(t Type, parts [][]byte) (String, error) {
	s := String{Type: t, set: true}
	want := 1
	switch t {
	case AES:
		want = 2
	case AESHMAC:
		want = 3
	case RSASHA256MAC, RSASHA1MAC:
		want = 2
	case RSASHA256, RSASHA1, COSE:
	default:
		return String{}, fmt.Errorf("it is encrypted in a way (type %d) that is not known here: %w", t, backend.ErrUnsupported)
	}
	if len(parts) != want {
		return String{}, corrupt("it has %d parts, expected %d", len(parts), want)
	}
	switch t {
	case AES:
		s.IV, s.Data = parts[0], parts[1]
	case AESHMAC:
		s.IV, s.Data, s.MAC = parts[0], parts[1], parts[2]
	default:
		s.Data = parts[0]
	}
	if t == AES || t == AESHMAC {
		if len(s.IV) != ivLen || len(s.Data) == 0 || len(s.Data)%ivLen != 0 || t == AESHMAC && len(s.MAC) != macLen {
			return String{}, corrupt("its parts have the wrong lengths")
		}
	}
	return s, nil
}

// ParseBinary reads the form that attachments have: a byte of type, IV, MAC and
// ciphertext; of COSE, type and structure. The String shares memory with b.
func ParseBinary(b []byte) (String, error) {
	if len(b) == 0 {
		return String{}, corrupt("it is empty")
	}
	t, rest := Type(b[0]), b[1:]
	switch t {
	case AES:
		if len(rest) < ivLen {
			return String{}, corrupt("it is cut short")
		}
		return assemble(t, [][]byte{rest[:ivLen], rest[ivLen:]})
	case AESHMAC:
		if len(rest) < ivLen+macLen {
			return String{}, corrupt("it is cut short")
		}
		return assemble(t, [][]byte{rest[:ivLen], rest[ivLen+macLen:], rest[ivLen : ivLen+macLen]})
	case COSE:
		return assemble(t, [][]byte{rest})
	}
	return assemble(t, nil)
}

func corrupt(format string, args ...any) error {
	return fmt.Errorf("%s: %w", fmt.Sprintf(format, args...), backend.ErrCorrupt)
}
