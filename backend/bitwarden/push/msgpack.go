package push

import "encoding/binary"

// A reader reads MessagePack from the front of a slice: as much of it as hub
// messages have. After something unexpected it is bad, and gives zeros.
type reader struct {
	rest []byte
	bad  bool
}

func (r *reader) fail() {
	r.bad, r.rest = true, nil
}

func (r *reader) take(n uint64) []byte {
	if n > uint64(len(r.rest)) {
		r.fail()
		return nil
	}
	b := r.rest[:n]
	r.rest = r.rest[n:]
	return b
}

// uint reads a big-endian number of n bytes.
func (r *reader) uint(n int) uint64 {
	var wide [8]byte
	copy(wide[8-n:], r.take(uint64(n)))
	return binary.BigEndian.Uint64(wide[:])
}

// A kind of value, with its length or what it is.
type kind uint8

const (
	other  kind = iota
	number      // of which n is the value, if it is not negative
	text        // n bytes
	array       // n values
	table       // n pairs
)

// head reads what comes before a value's content. Content that nobody wants is
// skipped.
func (r *reader) head() (k kind, n uint64) {
	b := r.take(1)
	if b == nil {
		return other, 0
	}
	switch c := b[0]; {
	case c < 0x80:
		return number, uint64(c)
	case c < 0x90:
		return table, uint64(c & 0xf)
	case c < 0xa0:
		return array, uint64(c & 0xf)
	case c < 0xc0:
		return text, uint64(c & 0x1f)
	case c >= 0xe0: // a negative number
		return other, 0
	default:
		return r.wide(c)
	}
}

// wide reads the rest of a head whose first byte says how long it is.
func (r *reader) wide(c byte) (k kind, n uint64) {
	switch {
	case c == 0xc0, c == 0xc2, c == 0xc3: // nil, false, true
	case c >= 0xc4 && c <= 0xc6: // binary
		r.take(r.uint(1 << (c - 0xc4)))
	case c >= 0xc7 && c <= 0xc9: // extension
		n := r.uint(1 << (c - 0xc7))
		r.take(n + 1)
	case c == 0xca:
		r.take(4)
	case c == 0xcb:
		r.take(8)
	case c >= 0xcc && c <= 0xcf: // unsigned
		return number, r.uint(1 << (c - 0xcc))
	case c >= 0xd0 && c <= 0xd3: // signed
		r.take(1 << (c - 0xd0))
	case c >= 0xd4 && c <= 0xd8: // extension of a fixed length
		r.take(1 + 1<<(c-0xd4))
	case c >= 0xd9 && c <= 0xdb:
		return text, r.uint(1 << (c - 0xd9))
	case c == 0xdc, c == 0xdd:
		return array, r.uint(2 << (c - 0xdc))
	case c == 0xde, c == 0xdf:
		return table, r.uint(2 << (c - 0xde))
	default:
		r.fail()
	}
	return other, 0
}

// skip passes over one value.
func (r *reader) skip() {
	for left := uint64(1); left > 0 && !r.bad; left-- {
		switch k, n := r.head(); k {
		case text:
			r.take(n)
		case array, table:
			if n > uint64(len(r.rest)) {
				r.fail()
				return
			}
			left += n
			if k == table {
				left += n
			}
		}
	}
}

// text reads a text, or skips what is none.
func (r *reader) text() string {
	if k, n := r.head(); k == text {
		return string(r.take(n))
	}
	r.fail()
	return ""
}

// count reads the head of an array or a table.
func (r *reader) count(want kind) int {
	k, n := r.head()
	if k != want || n > uint64(len(r.rest)) {
		r.fail()
		return 0
	}
	return int(n)
}
