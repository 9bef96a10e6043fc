package sops

import (
	"bytes"

	"github.com/secretfs/secretfs/backend/secret"
)

const nullText = "null"

// value decrypts entry i.
func (d *Document) value(i uint32) (*secret.Value, error) {
	e := &d.index.entries[i]
	switch {
	case d.index.isContainer(i):
		return d.render(i)
	case e.kind == kindNull:
		return secret.From([]byte(nullText))
	case !e.sealed:
		return secret.From(shown(bytes.Clone(d.index.text(i)), e.kind))
	}
	s, _ := parseSealed(d.index.text(i))
	return d.decrypt(s, e.kind, additional(d.path(i)))
}

// decrypt opens s. A value whose text is not the canonical one is made anew.
func (d *Document) decrypt(s sealed, k kind, path []byte) (*secret.Value, error) {
	v, err := secret.New(s.room())
	if err != nil {
		return nil, err
	}
	plain, err := d.box.Load().open(v.Bytes(), s, path)
	if err != nil {
		v.Destroy()
		return nil, err
	}
	if k == kindString {
		v.Shorten(len(plain))
		return v, nil
	}
	defer v.Destroy()
	room, err := secret.New(maxNumber)
	if err != nil {
		return nil, err
	}
	defer room.Destroy()
	canonical, err := canonicalText(room.Bytes(), plain, k)
	if err != nil {
		return nil, err
	}
	return secret.From(shown(canonical, k))
}

// shown turns the text that sops hashes into the text that is served: booleans
// are hashed as Python writes them, and served in lower case.
func shown(text []byte, k kind) []byte {
	if k == kindBool {
		text[0] |= 'a' - 'A'
	}
	return text
}

// path is the names of all maps on the way to entry i and its own, each with a
// colon.
func (d *Document) path(i uint32) []byte {
	var chain []uint32
	for ; d.index.entries[i].parent != noParent; i = d.index.entries[i].parent {
		if d.index.entries[i].nameLen != listItem {
			chain = append(chain, i)
		}
	}
	var path []byte
	for c := len(chain) - 1; c >= 0; c-- {
		path = append(d.index.appendName(path, chain[c]), ':')
	}
	return path
}
