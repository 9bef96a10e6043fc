package sops

import (
	"bytes"
	"hash/maphash"
	"iter"
	"math"
	"strconv"
	"unsafe"
)

// An index is a file's tree in as little memory as will do: 24 bytes an entry
// and 8 of hash table, beside the file itself. Entries stand in the order of the
// file, each before its members. It is immutable once built.
type index struct {
	file    []byte
	extra   []byte // texts that the file does not have verbatim
	entries []entry
	slots   []uint32 // open addressing; entry number + 1
	seed    maphash.Seed
}

// An entry is a leaf, a map or a list. Offsets count through file and then extra.
type entry struct {
	name, nameLen uint32 // the name; within a list the position and listItem
	// text and textLen are the place of a leaf's text. For a container they
	// are the entry after its last member, and a digest of its comments.
	text, textLen uint32
	parent        uint32
	kind          kind
	sealed        bool // text is to be decrypted
}

const (
	listItem = math.MaxUint32
	noParent = math.MaxUint32
)

// maxFile keeps offsets within 31 bits.
const maxFile = 1 << 30

func (x *index) bytes(off, n uint32) []byte {
	if int(off) < len(x.file) || n == 0 {
		return x.file[off : off+n]
	}
	off -= uint32(len(x.file))
	return x.extra[off : off+n]
}

func (x *index) text(i uint32) []byte { return x.bytes(x.entries[i].text, x.entries[i].textLen) }

// appendName appends the name of entry i, which is its position within a list.
func (x *index) appendName(buf []byte, i uint32) []byte {
	e := &x.entries[i]
	if e.nameLen == listItem {
		return strconv.AppendUint(buf, uint64(e.name), 10)
	}
	return append(buf, x.bytes(e.name, e.nameLen)...)
}

func (x *index) isContainer(i uint32) bool {
	k := x.entries[i].kind
	return k == kindMap || k == kindList
}

// next is the entry after i and all that is within it.
func (x *index) next(i uint32) uint32 {
	if x.isContainer(i) {
		return x.entries[i].text
	}
	return i + 1
}

// children ranges over the members of container i, comments left out.
func (x *index) children(i uint32) iter.Seq[uint32] {
	return func(yield func(uint32) bool) {
		for c := i + 1; c < x.next(i); c = x.next(c) {
			if x.entries[c].kind != kindComment && !yield(c) {
				return
			}
		}
	}
}

// hash fills the table of (parent, name). Of equal names the first one stays.
func (x *index) hash() {
	size := 8
	for size < len(x.entries)*3/2 {
		size *= 2
	}
	x.slots = make([]uint32, size)
	var name []byte
	for i := range x.entries {
		e := &x.entries[i]
		if e.kind == kindComment || e.parent == noParent {
			continue
		}
		name = x.appendName(name[:0], uint32(i))
		if slot, there := x.probe(e.parent, name); !there {
			x.slots[slot] = uint32(i + 1)
		}
	}
}

// probe finds the slot of the member of parent that is called name, or the free
// slot where it would be.
func (x *index) probe(parent uint32, name []byte) (slot int, there bool) {
	mask := len(x.slots) - 1
	slot = int(maphash.Bytes(x.seed, name)^uint64(parent)*0x9e3779b97f4a7c15) & mask
	for ; x.slots[slot] != 0; slot = (slot + 1) & mask {
		c := x.slots[slot] - 1
		if x.entries[c].parent == parent && x.named(c, name) {
			return slot, true
		}
	}
	return slot, false
}

func (x *index) named(i uint32, name []byte) bool {
	if e := &x.entries[i]; e.nameLen != listItem {
		return bytes.Equal(x.bytes(e.name, e.nameLen), name)
	}
	var buf [20]byte
	return bytes.Equal(x.appendName(buf[:0], i), name)
}

// child finds the member of container i that is called name.
func (x *index) child(i uint32, name string) (uint32, bool) {
	if !x.isContainer(i) {
		return 0, false
	}
	slot, ok := x.probe(i, unsafe.Slice(unsafe.StringData(name), len(name)))
	if !ok {
		return 0, false
	}
	return x.slots[slot] - 1, true
}
