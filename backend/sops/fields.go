package sops

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// fields reads a section as leniently as sops: names regardless of case,
// numbers and booleans written as text. The first error stays.
type fields struct {
	section *node
	err     error
}

func (f *fields) find(name string) *node {
	var last *node
	for i := range f.section.kids {
		if k := &f.section.kids[i]; k.kind != kindComment && k.name == name {
			last = k
		}
	}
	if last != nil {
		return last
	}
	for i := range f.section.kids {
		if k := &f.section.kids[i]; k.kind != kindComment && strings.EqualFold(k.name, name) {
			return k
		}
	}
	return nil
}

func (f *fields) fail(name, want string) {
	if f.err == nil {
		f.err = fmt.Errorf("its sops section: %q must be %s", name, want)
	}
}

func (f *fields) text(name string) string {
	n := f.find(name)
	switch {
	case n == nil || n.kind == kindNull:
		return ""
	case n.kind == kindString, n.kind == kindInt, n.kind == kindFloat:
		return n.text
	case n.kind == kindBool && n.text == boolText(true):
		return "1"
	case n.kind == kindBool:
		return "0"
	}
	f.fail(name, "text")
	return ""
}

func (f *fields) flag(name string) bool {
	text := f.text(name)
	if text == "" {
		return false
	}
	on, err := strconv.ParseBool(text)
	if err != nil {
		f.fail(name, "true or false")
	}
	return on
}

func (f *fields) number(name string) int {
	text := f.text(name)
	if text == "" {
		return 0
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		f.fail(name, "a number")
	}
	return n
}

// versionPattern is what sops takes for its own version (getsops/sops,
// version/version.go): a semantic one, or anything of the 1.x that was Python.
var versionPattern = regexp.MustCompile(`^(1\..*|v?(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)` +
	`(-(0|[1-9]\d*|\d*[A-Za-z-][\dA-Za-z-]*)(\.(0|[1-9]\d*|\d*[A-Za-z-][\dA-Za-z-]*))*)?(\+[\dA-Za-z-]+(\.[\dA-Za-z-]+)*)?)$`)

// version refuses what the program refuses: the entry stands last in most files,
// so that one whose end is missing is found out even if the MAC fits.
func (f *fields) version(name string) {
	if !versionPattern.MatchString(f.text(name)) {
		f.fail(name, "a version of sops; is the end of the file missing?")
	}
}

// date normalizes a timestamp as sops does before it authenticates with it.
func (f *fields) date(name string) string {
	t, err := time.Parse(time.RFC3339, f.text(name))
	if err != nil {
		f.fail(name, "a timestamp (RFC 3339)")
	}
	return t.Format(time.RFC3339)
}

func (f *fields) list(name string) []*node {
	n := f.find(name)
	if n == nil || n.kind == kindNull {
		return nil
	}
	if n.kind == kindMap {
		return []*node{n}
	}
	var items []*node
	for i := range n.kids {
		k := &n.kids[i]
		switch k.kind {
		case kindMap:
			items = append(items, k)
		case kindComment:
		default:
			f.fail(name, "a list of mappings")
		}
	}
	return items
}
