package sops

import (
	"errors"
	"strconv"
	"strings"
)

// INI and dotenv have no nesting, so sops writes the path of each entry of its
// section into the name (getsops/sops, stores/flatten.go): "age__list_0__map_enc"
// is the member "enc" of the first entry of the list "age".
const (
	mapMark  = "__map_"
	listMark = "__list_"
)

var errFlat = errors.New("its sops section is contradictory or incomplete")

// unflatten makes the section of flat kids, less the prefix of their names. If
// newline is given, it stands for a line feed in their values.
func unflatten(kids []node, prefix, newline string) (*node, error) {
	root := &flat{}
	for i := range kids {
		k := &kids[i]
		if k.kind == kindComment {
			continue
		}
		if newline != "" {
			k.text = strings.ReplaceAll(k.text, newline, "\n")
		}
		at := root
		for _, step := range flatPath(k.name[len(prefix):]) {
			at = at.child(step)
		}
		if at.value != nil {
			return nil, errFlat
		}
		at.value = k
	}
	return root.node("")
}

// A step leads to a member of a map, or to an entry of a list.
type step struct {
	name string
	list bool
}

func flatPath(name string) []step {
	var path []step
	list := false
	for {
		m, l := strings.Index(name, mapMark), strings.Index(name, listMark)
		cut, skip := m, len(mapMark)
		if m < 0 || l >= 0 && l < m {
			cut, skip = l, len(listMark)
		}
		if cut < 0 {
			return append(path, step{name, list})
		}
		path = append(path, step{name[:cut], list})
		list, name = skip == len(listMark), name[cut+skip:]
	}
}

// A flat is one place of the section while it is put together.
type flat struct {
	value   *node
	members map[string]*flat
	entries map[int]*flat
}

func (f *flat) child(s step) *flat {
	if f.members == nil {
		f.members, f.entries = map[string]*flat{}, map[int]*flat{}
	}
	if s.list {
		position, _ := strconv.Atoi(s.name) // sops takes what is no number for 0
		if f.entries[position] == nil {
			f.entries[position] = &flat{}
		}
		return f.entries[position]
	}
	if f.members[s.name] == nil {
		f.members[s.name] = &flat{}
	}
	return f.members[s.name]
}

// node turns f into a tree, in which members have no certain order.
func (f *flat) node(name string) (*node, error) {
	switch {
	case f.value != nil:
		if len(f.members)+len(f.entries) > 0 {
			return nil, errFlat
		}
		return &node{name: name, named: true, kind: f.value.kind, text: f.value.text}, nil
	case len(f.entries) > 0:
		return f.list(name)
	}
	n := &node{name: name, named: true, kind: kindMap}
	for k, member := range f.members {
		if err := n.adopt(member, k); err != nil {
			return nil, err
		}
	}
	return n, nil
}

func (f *flat) list(name string) (*node, error) {
	if len(f.members) > 0 {
		return nil, errFlat
	}
	n := &node{name: name, named: true, kind: kindList}
	for i := range len(f.entries) {
		if f.entries[i] == nil {
			return nil, errFlat
		}
		if err := n.adopt(f.entries[i], ""); err != nil {
			return nil, err
		}
	}
	return n, nil
}

func (n *node) adopt(f *flat, name string) error {
	k, err := f.node(name)
	if err == nil {
		n.kids = append(n.kids, *k)
	}
	return err
}
