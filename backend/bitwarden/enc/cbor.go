package enc

import "encoding/binary"

// The major types of CBOR (RFC 8949 3.1) that COSE's structures are made of.
const (
	cborUint  = 0
	cborNint  = 1
	cborBytes = 2
	cborText  = 3
	cborArray = 4
	cborMap   = 5
)

// A cbor reads deterministic CBOR from the front of a slice. After an error it
// stays at it. What it gives shares memory with the slice.
type cbor struct {
	rest []byte
	bad  bool
}

// head reads one item's type and argument. Lengths that are not written are
// refused: nothing here has them.
func (c *cbor) head() (major byte, arg uint64) {
	if c.bad || len(c.rest) == 0 {
		return 0, c.fail()
	}
	first := c.rest[0]
	c.rest = c.rest[1:]
	major, arg = first>>5, uint64(first&0x1f)
	if arg < 24 {
		return major, arg
	}
	n := 1 << (arg - 24)
	if arg > 27 || len(c.rest) < n {
		return 0, c.fail()
	}
	var wide [8]byte
	copy(wide[8-n:], c.rest)
	c.rest = c.rest[n:]
	return major, binary.BigEndian.Uint64(wide[:])
}

func (c *cbor) fail() uint64 {
	c.bad, c.rest = true, nil
	return 0
}

// count reads the head of an array or map, and gives how many items or pairs follow.
func (c *cbor) count(want byte) int {
	major, arg := c.head()
	if major != want || arg > uint64(len(c.rest)) {
		return int(c.fail())
	}
	return int(arg)
}

func (c *cbor) bytes(want byte) []byte {
	major, arg := c.head()
	if major != want || arg > uint64(len(c.rest)) {
		c.fail()
		return nil
	}
	b := c.rest[:arg:arg]
	c.rest = c.rest[arg:]
	return b
}

// label reads the key of a pair in a COSE map. One that is not an integer reads
// as 0, which COSE does not use.
func (c *cbor) label() int64 {
	if len(c.rest) > 0 && c.rest[0]>>5 == cborText {
		c.bytes(cborText)
		return 0
	}
	return c.integer()
}

func (c *cbor) integer() int64 {
	major, arg := c.head()
	switch {
	case arg > 1<<62:
	case major == cborUint:
		return int64(arg)
	case major == cborNint:
		return -1 - int64(arg)
	}
	return int64(c.fail())
}

// skip passes over one item, which may hold others.
func (c *cbor) skip() {
	for left := uint64(1); left > 0 && !c.bad; left-- {
		major, arg := c.head()
		switch major {
		case cborBytes, cborText:
			if arg > uint64(len(c.rest)) {
				c.fail()
				return
			}
			c.rest = c.rest[arg:]
		case cborArray, cborMap:
			if arg > uint64(len(c.rest)) {
				c.fail()
				return
			}
			left += arg * uint64(major-cborArray+1)
		case 6: // a tag, and what it is on
			left++
		}
	}
}

// appendBytes writes a byte string, its length in the shortest form.
func appendBytes(b, s []byte) []byte {
	const major = cborBytes << 5
	switch n := len(s); {
	case n < 24:
		b = append(b, major|byte(n))
	case n < 1<<8:
		b = append(b, major|24, byte(n))
	case n < 1<<16:
		b = binary.BigEndian.AppendUint16(append(b, major|25), uint16(n))
	default:
		b = binary.BigEndian.AppendUint32(append(b, major|26), uint32(n))
	}
	return append(b, s...)
}
