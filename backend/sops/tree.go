package sops

import (
	"errors"
	"strconv"
)

// maxNodes bounds what a file is made into: a YAML file takes over 100 times its
// length in memory, and where that is not to be had the whole worker dies, with
// the secrets of all other files. Half a million secrets fit.
const maxNodes = 2 << 20

var errNodes = errors.New("it has too many entries")

// A kind says what a node of a parsed file is.
type kind uint8

const (
	kindMap kind = iota
	kindList
	kindNull
	kindString
	kindInt
	kindFloat
	kindBool
	kindTime
	kindBytes
	kindComment
	kindStrange // a scalar that sops refuses, as an integer above 63 bits
)

// A node is one value, sub-tree or comment of a parsed file. Trees are garbage
// as soon as the index is made of them: strings may point into the file.
type node struct {
	// name is the member's name within a map.
	name string
	// text is the scalar as text: what the file says of a string, the
	// canonical form of any other; or a comment without its mark.
	text string
	kids []node
	// hint is an offset in the file that text and name are not far behind.
	hint   uint32
	kind   kind
	inline bool // a comment at the end of its line
	named  bool // false for a map's member that has no string as its name
}

func (n *node) container() bool { return n.kind == kindMap || n.kind == kindList }

// formatFloat is how sops encrypts and hashes floating-point numbers.
func formatFloat(buf []byte, f float64) []byte { return strconv.AppendFloat(buf, f, 'f', -1, 64) }

// boolText is how sops encrypts and hashes booleans; Python wrote them so.
func boolText(b bool) string {
	if b {
		return "True"
	}
	return "False"
}
