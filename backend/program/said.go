package program

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"strings"
	"unicode"

	"github.com/secretfs/secretfs/backend/helper"
	"github.com/secretfs/secretfs/backend/secret"
)

// A said keeps the last maxSaid bytes of what a program says on stderr.
type said struct{ b []byte }

func (s *said) Write(p []byte) (int, error) {
	s.b = append(s.b, p...)
	if drop := len(s.b) - maxSaid; drop > 0 {
		s.b = s.b[:copy(s.b, s.b[drop:])]
	}
	return len(p), nil
}

// quote is the last that a program said, as the end of a sentence, unless it gives
// away a part of one of secrets. Words that look like tokens are left out: programs
// say what they have tried.
func (s *said) quote(secrets ...[]byte) string {
	for _, v := range secrets {
		if shows(s.b, v) {
			return ": (what it said shows a part of a secret)"
		}
	}
	var last string
	lines := strings.Split(strings.TrimSpace(string(s.b)), "\n")
	for i := len(lines) - 1; i >= 0; i-- {
		line := helper.Printable(withheld(lines[i]), maxQuoted)
		if last != "" && len(line)+len(last) > maxQuoted {
			break
		}
		if line != "" {
			last = strings.TrimSuffix(line+"; "+last, "; ")
		}
	}
	if last == "" {
		return ""
	}
	return ": " + helper.Printable(last, maxQuoted)
}

// part is how many bytes in a row of a secret are too many.
const part = 8

// shows says whether text has a part of v, or all of a shorter one, as it is, in hex
// or in base64. Both are on the heap of a helper that is about to end.
func shows(text, v []byte) bool {
	v = bytes.TrimSpace(v)
	if len(v) <= part {
		return len(v) > 0 && bytes.Contains(text, v)
	}
	parts := map[string]bool{}
	for i := 0; i+part <= len(text); i++ {
		parts[string(text[i:i+part])] = true
	}
	for _, spelt := range spellings(v) {
		found := anyOf(spelt, parts)
		secret.Wipe(spelt)
		if found {
			return true
		}
	}
	return anyOf(v, parts)
}

func anyOf(b []byte, parts map[string]bool) bool {
	for i := 0; i+part <= len(b); i++ {
		if parts[string(b[i:i+part])] {
			return true
		}
	}
	return false
}

// spellings are b in hex, and in base64 wherever its groups of three begin.
func spellings(b []byte) [][]byte {
	lower := hex.AppendEncode(nil, b)
	all := [][]byte{lower, bytes.ToUpper(lower)}
	for skip := range 3 {
		all = append(all, base64.StdEncoding.AppendEncode(nil, b[skip:]), base64.URLEncoding.AppendEncode(nil, b[skip:]))
	}
	return all
}

// longWord is from how many characters on a word of letters and digits looks like a
// token: longer than the key ids of gpg, shorter than a UUID or a token.
const longWord = 20

// withheld is line with "…" for what looks like tokens.
func withheld(line string) string {
	var b strings.Builder
	for _, word := range split(line) {
		if looksLikeToken(word) {
			word = "…"
		}
		b.WriteString(word)
	}
	return b.String()
}

// split cuts line into words and what is between them.
func split(line string) (pieces []string) {
	begin, in := 0, false
	for i, c := range line {
		if now := inToken(c); now != in {
			pieces = append(pieces, line[begin:i])
			begin, in = i, now
		}
	}
	return append(pieces, line[begin:])
}

// inToken knows the letters of base64 and base64url but "/", which is in paths.
func inToken(c rune) bool {
	return c < unicode.MaxASCII && (unicode.IsLetter(c) || unicode.IsDigit(c) || strings.ContainsRune("+_-=", c))
}

func looksLikeToken(word string) bool {
	return len(word) >= longWord && strings.ContainsFunc(word, unicode.IsDigit) && strings.ContainsFunc(word, unicode.IsLetter)
}
