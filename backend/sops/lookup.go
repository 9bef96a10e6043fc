package sops

import (
	"fmt"
	"strings"

	"github.com/secretfs/secretfs/backend"
)

// shownNames is how many names an error lists.
const shownNames = 8

// lookup finds the entry that key names. The root of the first document is
// entry 0.
func (d *Document) lookup(key string) (uint32, error) {
	if d.format == Binary {
		return d.lookupBinary(key)
	}
	if key == "" {
		return 0, nil
	}
	m := missing{}
	if i, ok := d.find(0, key, &m); ok {
		return i, nil
	}
	return 0, d.notFound(key, &m)
}

// lookupBinary: a binary file is an envelope around one value.
func (d *Document) lookupBinary(key string) (uint32, error) {
	i, ok := d.index.child(0, "data")
	switch {
	case !ok || d.index.entries[i].kind != kindString:
		return 0, fmt.Errorf("it holds no binary file: %w", backend.ErrCorrupt)
	case key != "":
		return 0, fmt.Errorf("key %q: a binary file is one value, its key is \"\": %w", key, backend.ErrNotFound)
	}
	return i, nil
}

// missing remembers how far a search came.
type missing struct {
	in    uint32 // deepest entry reached
	rest  string // what of the key is left there
	known bool
}

// find descends from container i along rest. The longest name that matches wins:
// a name may contain slashes itself.
func (d *Document) find(i uint32, rest string, m *missing) (uint32, bool) {
	if c, ok := d.index.child(i, rest); ok {
		return c, true
	}
	for cut := strings.LastIndexByte(rest, '/'); cut >= 0; cut = strings.LastIndexByte(rest[:cut], '/') {
		c, ok := d.index.child(i, rest[:cut])
		if !ok {
			continue
		}
		if found, ok := d.find(c, rest[cut+1:], m); ok {
			return found, true
		}
	}
	if !m.known || len(rest) < len(m.rest) {
		m.in, m.rest, m.known = i, rest, true
	}
	return 0, false
}

func (d *Document) notFound(key string, m *missing) error {
	part, _, _ := strings.Cut(m.rest, "/")
	where := strings.TrimSuffix(strings.TrimSuffix(key, m.rest), "/")
	place := "the file"
	if where != "" {
		place = fmt.Sprintf("%q", where)
	}
	if !d.index.isContainer(m.in) {
		return fmt.Errorf("key %q: %s is a value and has no %q: %w", key, place, part, backend.ErrNotFound)
	}
	return fmt.Errorf("key %q: %s has no %q, it has %s: %w", key, place, part, d.names(m.in), backend.ErrNotFound)
}

// names lists the members of container i for people.
func (d *Document) names(i uint32) string {
	var b strings.Builder
	n := 0
	for c := range d.index.children(i) {
		if n++; n > shownNames {
			continue
		}
		if n > 1 {
			b.WriteString(", ")
		}
		fmt.Fprintf(&b, "%q", d.index.appendName(nil, c))
	}
	switch {
	case n == 0:
		return "nothing"
	case n > shownNames:
		fmt.Fprintf(&b, " and %d more", n-shownNames)
	}
	return b.String()
}
