package conf

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// A Problem is one thing that is wrong with a file.
type Problem struct {
	File string
	Pos  Pos
	// Key is the way to the value, "secrets.mem0/token.mode", empty for the
	// document as a whole and for syntax errors. In a file that a program
	// wrote on one line it says more than the position.
	Key string
	Msg string
}

// String is "file:line:col: key: message" without the parts that are unknown.
func (p Problem) String() string {
	parts := make([]string, 0, 3)
	if at := p.Pos.String(); at != "" {
		parts = append(parts, p.File+":"+at)
	} else {
		parts = append(parts, p.File)
	}
	if p.Key != "" {
		parts = append(parts, p.Key)
	}
	return strings.Join(append(parts, p.Msg), ": ")
}

// Problems collects what is wrong with one document. As an error it prints one
// problem a line, in the order of the file. It is not safe for concurrent use.
type Problems struct {
	file string
	doc  *Node // nil while it is not read
	list []Problem
	seen map[Problem]bool
}

// newProblems returns an empty collection for what was read from file.
func newProblems(file string) *Problems {
	return &Problems{file: file, seen: map[Problem]bool{}}
}

// Addf adds a problem with what stands at pos. The same problem at the same
// place is taken once.
func (p *Problems) Addf(pos Pos, format string, args ...any) {
	one := Problem{File: p.file, Pos: pos, Msg: fmt.Sprintf(format, args...)}
	if !p.seen[one] {
		p.seen[one] = true
		p.list = append(p.list, one)
	}
}

// Err is p itself, or nil where there is no problem.
func (p *Problems) Err() error {
	if len(p.list) == 0 {
		return nil
	}
	return p
}

// List returns the problems in the order of the file.
func (p *Problems) List() []Problem {
	list := slices.Clone(p.list)
	keys := p.keys()
	for i := range list {
		list[i].Key = keys[list[i].Pos]
	}
	slices.SortStableFunc(list, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.Pos.Line, b.Pos.Line), cmp.Compare(a.Pos.Col, b.Pos.Col))
	})
	return list
}

// Error is one line a problem.
func (p *Problems) Error() string {
	var b strings.Builder
	for i, one := range p.List() {
		if i > 0 {
			b.WriteByte('\n')
		}
		b.WriteString(one.String())
	}
	return b.String()
}

// keys finds the ways to all places that have a problem, in one walk: keeping
// them while decoding would cost every document, not only the wrong ones.
func (p *Problems) keys() map[Pos]string {
	ways := make(map[Pos]string, len(p.list))
	for _, one := range p.list {
		ways[one.Pos] = ""
	}
	if p.doc != nil {
		findKeys(p.doc, nil, ways)
	}
	return ways
}

// findKeys fills in the ways to the positions in ways. A map starts where its
// first key does, so the first way found to a position, the outer one, would
// name the map; the inner one overwrites it.
func findKeys(n *Node, way []string, ways map[Pos]string) {
	note := func(pos Pos, way []string) {
		if _, wanted := ways[pos]; wanted {
			ways[pos] = strings.Join(way, ".")
		}
	}
	keys := n.Keys()
	for i := range n.Items() {
		step := strconv.Itoa(i)
		if n.Kind == Map {
			step = stepName(keys[i].Name)
		}
		inner := append(way, step)
		item := &n.Items()[i]
		note(item.Pos, inner)
		findKeys(item, inner, ways)
		if n.Kind == Map {
			note(keys[i].Pos, inner)
		}
	}
}

// stepName quotes a name that would not be plain between two dots.
func stepName(name string) string {
	plain := func(r rune) bool { return r > ' ' && r != '.' && r != '"' && strconv.IsPrint(r) }
	if name == "" || strings.ContainsFunc(name, func(r rune) bool { return !plain(r) }) {
		return strconv.Quote(name)
	}
	return name
}
