package vault

import (
	"encoding/json"
	"errors"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/secretfs/secretfs/backend/secret"
)

var errNoString = errors.New("no JSON string")

// unquote decodes the JSON string s (RFC 8259, 7) into locked memory;
// encoding/json would leave a copy on the heap that cannot be wiped. s has been
// through encoding/json, and so is well-formed.
func unquote(s []byte) (*secret.Value, error) {
	if len(s) < 2 || s[0] != '"' || s[len(s)-1] != '"' {
		return nil, errNoString
	}
	s = s[1 : len(s)-1]
	room, err := secret.New(len(s)) // no escape is shorter than what it stands for
	if err != nil {
		return nil, err
	}
	defer room.Destroy()
	n, ok := unescape(room.Bytes()[:0], s)
	if !ok {
		return nil, errNoString
	}
	return copyOf(room.Bytes()[:n])
}

// unescape appends to out, which has the capacity, and tells the length.
func unescape(out, s []byte) (int, bool) {
	for len(s) > 0 {
		if s[0] != '\\' {
			out = append(out, s[0])
			s = s[1:]
			continue
		}
		if len(s) < 2 {
			return 0, false
		}
		if s[1] == 'u' {
			r, n := runeOf(s)
			if n == 0 {
				return 0, false
			}
			out = utf8.AppendRune(out, r)
			s = s[n:]
			continue
		}
		c, ok := simple[s[1]]
		if !ok {
			return 0, false
		}
		out = append(out, c)
		s = s[2:]
	}
	return len(out), true
}

var simple = map[byte]byte{'"': '"', '\\': '\\', '/': '/', 'b': '\b', 'f': '\f', 'n': '\n', 'r': '\r', 't': '\t'}

// runeOf reads \uXXXX, or two of them that are a surrogate pair; n is their
// length, 0 where there is none.
func runeOf(s []byte) (r rune, n int) {
	r, ok := unit(s)
	if !ok {
		return 0, 0
	}
	if !utf16.IsSurrogate(r) {
		return r, 6
	}
	if low, ok := unit(s[6:]); ok {
		if whole := utf16.DecodeRune(r, low); whole != utf8.RuneError {
			return whole, 12
		}
	}
	return utf8.RuneError, 6
}

func unit(s []byte) (r rune, ok bool) {
	if len(s) < 6 || s[0] != '\\' || s[1] != 'u' {
		return 0, false
	}
	for _, c := range s[2:6] {
		switch {
		case c >= '0' && c <= '9':
			c -= '0'
		case c >= 'a' && c <= 'f':
			c -= 'a' - 10
		case c >= 'A' && c <= 'F':
			c -= 'A' - 10
		default:
			return 0, false
		}
		r = r<<4 | rune(c)
	}
	return r, true
}

func copyOf(b []byte) (*secret.Value, error) {
	v, err := secret.New(len(b))
	if err != nil {
		return nil, err
	}
	copy(v.Bytes(), b)
	return v, nil
}

// An object is a JSON object whose values are not decoded. They are plaintext on
// the heap: whoever has one wipes it.
type object map[string]json.RawMessage

func (o object) wipe() {
	for _, raw := range o {
		secret.Wipe(raw)
	}
}
