package sops

import (
	"fmt"
	"strconv"
	"strings"
	"time"
	"unsafe"

	"github.com/secretfs/secretfs/backend"
	"github.com/secretfs/secretfs/backend/secret"
)

// A renderer makes the plaintext of a sub-tree. It parses the file again, since
// the index has neither comments nor the way a value is written, and such a
// request is rare.
type renderer struct {
	box  *box
	room []byte // locked memory for all plaintext, the free part
	path []byte
}

// render gives the sub-tree at entry i in the file's own format; entry 0 is the
// whole file, with all documents, as `sops decrypt` prints it.
func (d *Document) render(i uint32) (*secret.Value, error) {
	docs, _, err := parseFile(d.index.file, d.format)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", err, backend.ErrCorrupt)
	}
	whole := i == 0
	s := scope{rules: &d.meta.rules}
	if !whole {
		n, in := d.locate(&docs[0], i)
		docs, s = []node{*n}, in
	}
	size := 0
	for n := range docs {
		size += docs[n].sealedSize()
	}
	room, err := secret.New(size)
	if err != nil {
		return nil, err
	}
	defer room.Destroy()
	r := renderer{box: d.box.Load(), room: room.Bytes(), path: d.path(i)}
	for n := range docs {
		if err := r.open(&docs[n], s); err != nil {
			return nil, err
		}
	}
	return d.finish(i, func(w *lockedWriter) error {
		if whole {
			return emitFile(w, d.format, docs)
		}
		return emitPart(w, d.format, &docs[0])
	})
}

// sealedSize is how much plaintext decrypting n makes at most.
func (n *node) sealedSize() int {
	size := 0
	if strings.HasPrefix(n.text, string(sealedMark)) {
		size = len(n.text)
	}
	for i := range n.kids {
		size += n.kids[i].sealedSize()
	}
	return size
}

// finish collects what emit writes, and keeps its length for Stat.
func (d *Document) finish(i uint32, emit func(*lockedWriter) error) (*secret.Value, error) {
	w := &lockedWriter{}
	defer w.wipe()
	if err := emit(w); err != nil {
		return nil, err
	}
	v, err := w.value()
	if err == nil {
		d.setSize(i, v.Len())
	}
	return v, err
}

// locate finds the node of entry i, and what the rules make of its place.
func (d *Document) locate(root *node, i uint32) (*node, scope) {
	e := &d.index.entries[i]
	if e.parent == noParent {
		return root, scope{rules: &d.meta.rules}
	}
	parent, s := d.locate(root, e.parent)
	position := uint32(0)
	for k := range parent.kids {
		kid := &parent.kids[k]
		if kid.kind == kindComment {
			if becomesEntry(parent, kid, s.comment(kid.text)) {
				position++
			}
			continue
		}
		in := s.item()
		if parent.kind == kindMap {
			in = s.into(kid.name)
		}
		if d.index.isMember(i, kid, position) {
			return kid, in
		}
		s.value()
		if !sealedComment(kid, in) {
			position++
		}
	}
	panic("sops: index and file differ")
}

func (x *index) isMember(i uint32, kid *node, position uint32) bool {
	e := &x.entries[i]
	if e.nameLen == listItem {
		return e.name == position && kid.container()
	}
	return string(x.bytes(e.name, e.nameLen)) == kid.name
}

// sealedComment says that an entry of a list is an encrypted comment.
func sealedComment(n *node, s scope) bool {
	if n.kind != kindString || !s.encrypted() {
		return false
	}
	p, ok := parseSealed(unsafe.Slice(unsafe.StringData(n.text), len(n.text)))
	return ok && p.kind == kindComment
}

// open decrypts all within n, which is at s, in place.
func (r *renderer) open(n *node, s scope) error {
	outer := len(r.path)
	for i := range n.kids {
		k := &n.kids[i]
		if k.kind == kindComment {
			if encrypted := s.comment(k.text); becomesEntry(n, k, encrypted) {
				k.kind = kindString
			} else if encrypted {
				r.comment(k)
			}
			continue
		}
		in := s.item()
		if n.kind == kindMap {
			in = s.into(k.name)
			r.path = append(append(r.path[:outer], k.name...), ':')
		}
		var err error
		if k.container() {
			err = r.open(k, in)
		} else if in.encrypted() {
			err = r.leaf(k)
		}
		if err != nil {
			return err
		}
		s.value()
		r.path = r.path[:outer]
	}
	return nil
}

func (r *renderer) leaf(k *node) error {
	s, ok := parseSealed(unsafe.Slice(unsafe.StringData(k.text), len(k.text)))
	if !ok {
		return nil // null, or empty
	}
	plain, err := r.box.open(r.room, s, additional(r.path))
	if err != nil {
		return err
	}
	r.room = r.room[len(plain):]
	k.kind, k.text = s.kind, unsafe.String(unsafe.SliceData(plain), len(plain))
	return nil
}

// comment decrypts a comment. One that does not decrypt stays as it is, as with
// sops: old versions did not encrypt comments. One that does moves to a line of
// its own, for sops forgets where it was.
func (r *renderer) comment(k *node) {
	n := node{kind: kindString, text: k.text}
	if r.leaf(&n) == nil && n.kind == kindComment {
		k.text, k.inline = n.text, false
	}
}

// typed is the Go value that sops has for a decrypted scalar.
func (n *node) typed() (any, error) {
	var v any
	var err error
	switch n.kind {
	case kindNull:
		return nil, nil
	case kindString:
		return n.text, nil
	case kindInt:
		v, err = strconv.Atoi(n.text)
	case kindFloat:
		v, err = strconv.ParseFloat(n.text, 64)
	case kindBool:
		v, err = strconv.ParseBool(n.text)
	case kindTime:
		t := time.Time{}
		err = t.UnmarshalText([]byte(n.text))
		v = t
	default:
		return nil, fmt.Errorf("a value is of a type that no version of sops writes: %w", backend.ErrUnsupported)
	}
	if err != nil {
		return nil, errSealed
	}
	return v, nil
}
