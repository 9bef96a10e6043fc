package backend

import (
	"strings"
	"unicode/utf8"
)

// maxFileName is NAME_MAX of Linux, in bytes.
const maxFileName = 255

// FileName spells any name as one that a file can have. There is one rule, which
// the manual describes (NAMES), and RealName reverses it:
//
//   - '/', control characters and '%' become '%' and two upper case hex digits, as
//     in a URL (RFC 3986, 2.1); so do the dots of "." and "..";
//   - the empty name is "%";
//   - where tag is not empty, "%~" and the tag follow. It tells things of one name
//     apart, and is not part of the name.
//
// A name that is too long for a file is cut and keeps its tag, without which
// it could be taken for another; such a name cannot be reversed.
func FileName(name, tag string) string {
	spelt := escape(name)
	if tag != "" {
		tag = tagMark + escape(tag)
	}
	if len(spelt)+len(tag) <= maxFileName {
		return spelt + tag
	}
	return cut(spelt, maxFileName-len(tag)) + tag
}

const (
	emptyName = "%"
	tagMark   = "%~"
	hexDigits = "0123456789ABCDEF"
)

func escape(name string) string {
	if name == "" {
		return emptyName
	}
	dots := name == "." || name == ".."
	clean := !dots
	for i := 0; clean && i < len(name); i++ {
		clean = !special(name[i])
	}
	if clean {
		return name
	}
	var b strings.Builder
	for i := range len(name) {
		if c := name[i]; dots || special(c) {
			b.Write([]byte{'%', hexDigits[c>>4], hexDigits[c&15]})
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}

func special(c byte) bool { return c == '/' || c == '%' || c < ' ' || c == 0x7f }

// cut shortens what escape gave to at most n bytes, between characters.
func cut(spelt string, n int) string {
	n = max(n, 0)
	for i := max(n-2, 0); i < n; i++ {
		if spelt[i] == '%' {
			n = i
		}
	}
	for n > 0 && n < len(spelt) && !utf8.RuneStart(spelt[n]) {
		n--
	}
	return spelt[:n]
}

// RealName is the name and the tag that FileName has spelt as file. It says false
// of what FileName does not give.
func RealName(file string) (name, tag string, ok bool) {
	file, tag, tagged := strings.Cut(file, tagMark)
	if name, ok = unescape(file); !ok {
		return "", "", false
	}
	if tagged {
		if tag, ok = unescape(tag); !ok || tag == "" {
			return "", "", false
		}
	}
	return name, tag, true
}

func unescape(spelt string) (name string, ok bool) {
	if spelt == emptyName {
		return "", true
	}
	var b strings.Builder
	for i := 0; i < len(spelt); i++ {
		c := spelt[i]
		if c == '%' {
			if i+2 >= len(spelt) {
				return "", false
			}
			high, low := strings.IndexByte(hexDigits, spelt[i+1]), strings.IndexByte(hexDigits, spelt[i+2])
			if high < 0 || low < 0 {
				return "", false
			}
			c = byte(high<<4 | low)
			i += 2
		}
		b.WriteByte(c)
	}
	return b.String(), escape(b.String()) == spelt
}
