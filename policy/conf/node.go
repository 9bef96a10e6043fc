package conf

import (
	"slices"
	"strings"
)

// A Kind tells the kinds of node apart.
type Kind uint8

// The kinds of node. What YAML 1.1 calls a timestamp or binary is a Text.
const (
	Null Kind = iota
	Bool
	Number
	Text
	List
	Map
)

// String names the kind with its article, for use in a sentence.
func (k Kind) String() string {
	return [...]string{"nothing", "true or false", "a number", "a text", "a list", "a map"}[k]
}

// A Key is the name of one entry of a map.
type Key struct {
	Name string
	Pos  Pos
	// wrong says that there is a problem with the entry as a whole, so that
	// nobody needs to look into it.
	wrong bool
}

// A Node is one value of a document. The zero value is a Null at an unknown
// place. Nodes are immutable once parsed. They may refer to the memory of the
// whole document: what is to outlive it is cloned.
type Node struct {
	// Text is the text, the number as written, "true" or "false"; empty for
	// the other kinds.
	Text     string
	children *children
	Pos      Pos
	Kind     Kind
}

// children is apart from Node to keep scalars, most of a document, small.
type children struct {
	keys  []Key // of a map, parallel to items
	items []Node
}

// Keys are the keys of a map in the order of the document.
func (n *Node) Keys() []Key {
	if n == nil || n.children == nil {
		return nil
	}
	return n.children.keys
}

// Items are the values of a map, parallel to Keys, or the items of a list.
func (n *Node) Items() []Node {
	if n == nil || n.children == nil {
		return nil
	}
	return n.children.items
}

// Get returns the value of key, nil where n is no map or has no such key.
func (n *Node) Get(key string) *Node {
	for i, k := range n.Keys() {
		if k.Name == key {
			return &n.children.items[i]
		}
	}
	return nil
}

// Without returns a deep copy of n that shares no memory with the document
// and, in a map, lacks the given keys.
func (n *Node) Without(keys ...string) *Node {
	c := &Node{Text: strings.Clone(n.Text), Pos: n.Pos, Kind: n.Kind}
	if n.children == nil {
		return c
	}
	c.children = &children{}
	for i := range n.children.items {
		if n.Kind == Map {
			k := n.children.keys[i]
			if slices.Contains(keys, k.Name) {
				continue
			}
			c.children.keys = append(c.children.keys, Key{strings.Clone(k.Name), k.Pos, k.wrong})
		}
		c.children.items = append(c.children.items, *n.children.items[i].Without())
	}
	return c
}
