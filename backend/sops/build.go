package sops

import (
	"bytes"
	"errors"
	"fmt"
	"hash/fnv"
	"hash/maphash"
	"unsafe"
)

// searchWindow is how far behind its hint a text is looked for. A text not
// found is copied.
const searchWindow = 4096

var (
	errNotSealed = errors.New("a value that must be encrypted is not, or is damaged")
	errName      = errors.New("the name of a value must be a string")
	errStrange   = errors.New("a number is too large")
)

// A builder makes an index of trees.
type builder struct {
	index
	at uint32 // where the last text was found
}

func buildIndex(file []byte, docs []node, r *rules) (*index, error) {
	b := builder{index: index{file: file, seed: maphash.MakeSeed()}}
	n := 0
	for i := range docs {
		n += count(&docs[i])
	}
	b.entries = make([]entry, 0, n)
	for i := range docs {
		b.entries = append(b.entries, entry{kind: kindMap, name: uint32(i), nameLen: listItem, parent: noParent})
		if err := b.members(&docs[i], scope{rules: r}); err != nil {
			return nil, err
		}
	}
	b.hash()
	return &b.index, nil
}

func count(n *node) int {
	sum := 1
	for i := range n.kids {
		sum += count(&n.kids[i])
	}
	return sum
}

// members adds what is in the container whose entry was added last.
func (b *builder) members(n *node, s scope) error {
	self := uint32(len(b.entries) - 1)
	comments := fnv.New32a()
	position := uint32(0)
	for i := range n.kids {
		k := &n.kids[i]
		if k.kind == kindComment {
			fmt.Fprintf(comments, "%d#%s\n", position, k.text)
			encrypted := s.comment(k.text)
			if becomesEntry(n, k, encrypted) {
				b.entries = append(b.entries, entry{kind: kindString, name: position, nameLen: listItem, parent: self})
				position++
				continue
			}
			b.comment(k, self, encrypted)
			continue
		}
		in := s.item()
		e := entry{kind: k.kind, name: position, nameLen: listItem, parent: self}
		if n.kind == kindMap {
			if !k.named {
				return errName
			}
			in = s.into(k.name)
			e.name, e.nameLen = b.place(k.name, k.hint)
		}
		isComment, err := b.add(e, k, in)
		if err != nil {
			return err
		}
		s.value()
		if !isComment {
			position++
		}
	}
	b.entries[self].text = uint32(len(b.entries))
	b.entries[self].textLen = comments.Sum32()
	return nil
}

// becomesEntry says that k, a comment in n, decrypts to an empty string: sops
// does that to empty comments within lists.
func becomesEntry(n, k *node, encrypted bool) bool {
	return n.kind == kindList && k.text == "" && encrypted
}

// add adds k and all within it, and says whether it is a comment in disguise:
// sops encrypts comments within lists as entries of the list.
func (b *builder) add(e entry, k *node, in scope) (isComment bool, err error) {
	if !k.container() {
		return b.leaf(e, k, in.encrypted())
	}
	b.entries = append(b.entries, e)
	return false, b.members(k, in)
}

func (b *builder) leaf(e entry, k *node, encrypted bool) (isComment bool, err error) {
	switch {
	case k.kind == kindStrange:
		return false, errStrange
	case k.kind == kindNull || k.kind == kindString && k.text == "":
		encrypted = false
	case encrypted:
		s, ok := parseSealed(unsafe.Slice(unsafe.StringData(k.text), len(k.text)))
		if k.kind != kindString || !ok || s.kind == kindBytes {
			return false, errNotSealed
		}
		e.kind, e.sealed = s.kind, true
	}
	e.text, e.textLen = b.place(k.text, k.hint)
	b.entries = append(b.entries, e)
	return e.kind == kindComment, nil
}

// comment adds a comment that holds something encrypted that is no comment:
// sops decrypts it where it can, and then counts it into the MAC.
func (b *builder) comment(k *node, parent uint32, encrypted bool) {
	s, ok := parseSealed([]byte(k.text))
	if !encrypted || !ok || s.kind == kindComment {
		return
	}
	e := entry{kind: kindComment, sealed: true, parent: parent, nameLen: listItem}
	e.text, e.textLen = b.place(k.text, k.hint)
	b.entries = append(b.entries, e)
}

// place finds text in the file, or else keeps a copy.
func (b *builder) place(text string, hint uint32) (off, n uint32) {
	if text == "" {
		return 0, 0
	}
	n = uint32(len(text))
	raw := unsafe.Slice(unsafe.StringData(text), len(text))
	if off, ok := b.within(raw); ok {
		return off, n
	}
	hint = max(hint, b.at)
	window := b.file[min(int(hint), len(b.file)):]
	window = window[:min(len(window), searchWindow+len(text))]
	if i := bytes.Index(window, raw); i >= 0 {
		off = hint + uint32(i)
		if bytes.HasPrefix(raw, sealedMark) {
			b.at = off
		}
		return off, n
	}
	off = uint32(len(b.file) + len(b.extra))
	b.extra = append(b.extra, text...)
	return off, n
}

// within says where in the file raw is, if it is a slice of it.
func (b *builder) within(raw []byte) (off uint32, ok bool) {
	p, base := uintptr(unsafe.Pointer(&raw[0])), uintptr(unsafe.Pointer(&b.file[0]))
	return uint32(p - base), p >= base && p < base+uintptr(len(b.file))
}
