package sops

import (
	"errors"
	"strings"

	"gopkg.in/ini.v1"
)

var errINI = errors.New("not valid INI")

// parseINI reads an INI file with the library that sops uses. Its error is
// dropped: it may quote a line.
func parseINI(file []byte) (docs []node, err error) {
	defer func() {
		if recover() != nil { // the library indexes out of range on some input
			err = errINI
		}
	}()
	f, err := ini.LoadSources(ini.LoadOptions{AllowNonUniqueSections: true}, file)
	if err != nil {
		return nil, errINI
	}
	root := node{kind: kindMap}
	for _, s := range f.Sections() {
		section := node{kind: kindMap, name: s.Name(), named: true}
		if s.Comment != "" {
			section.kids = append(section.kids, iniComment(s.Comment))
		}
		for _, k := range s.Keys() {
			section.kids = append(section.kids, node{kind: kindString, name: k.Name(), named: true, text: k.Value()})
			if k.Comment != "" {
				section.kids = append(section.kids, iniComment(k.Comment))
			}
		}
		root.kids = append(root.kids, section)
	}
	return []node{root}, nil
}

// iniComment drops the mark of the first line only, as sops does.
func iniComment(text string) node {
	if mark := text[:1]; mark == ";" || mark == "#" {
		text = strings.TrimLeft(text, mark+" ")
	}
	return node{kind: kindComment, text: text}
}

// emitINI writes what gopkg.in/ini.v1 would write, into locked memory.
func emitINI(w *lockedWriter, root *node) error {
	last := len(root.kids) - 1
	for i := range root.kids {
		s := &root.kids[i]
		if s.kind == kindComment && !s.named {
			continue
		}
		comment, members, err := iniMembers(s.kids)
		if err != nil {
			return err
		}
		w.iniComment(comment, false)
		if i > 0 || !strings.EqualFold(s.name, ini.DefaultSection) {
			w.text("[" + s.name + "]\n")
		} else if len(members) == 0 {
			continue
		}
		w.iniSection(members)
		if i != last {
			w.text("\n")
		}
	}
	return nil
}

// An iniMember is one line, and the comment above it.
type iniMember struct{ name, quoted, value, comment string }

// iniMembers sorts out comments: the first is the section's if it comes before
// all else, any other belongs to the line before it.
func iniMembers(kids []node) (comment string, members []iniMember, err error) {
	for i := range kids {
		k := &kids[i]
		switch {
		case k.kind == kindComment && !k.named && i == 0:
			comment = k.text
		case k.kind == kindComment && !k.named:
			if len(members) > 0 {
				members[len(members)-1].comment = k.text
			}
		default:
			value, err := plainText(k)
			if err != nil {
				return "", nil, err
			}
			members = append(members, iniMember{name: k.name, quoted: iniName(k.name), value: value})
		}
	}
	return comment, members, nil
}

func iniName(name string) string {
	switch {
	case strings.ContainsAny(name, `"=:`):
		return "`" + name + "`"
	case strings.Contains(name, "`"):
		return `"""` + name + `"""`
	}
	return name
}

func (w *lockedWriter) iniSection(members []iniMember) {
	width := 0
	for _, m := range members {
		width = max(width, len(m.quoted))
	}
	for _, m := range members {
		w.iniComment(m.comment, true)
		w.text(m.quoted + strings.Repeat(" ", width-len(m.quoted)) + " = ")
		quote := iniQuote(m.value)
		w.text(quote)
		w.text(m.value)
		w.text(quote + "\n")
	}
}

func iniQuote(value string) string {
	switch {
	case strings.ContainsAny(value, "\n`"):
		return `"""`
	case strings.ContainsAny(value, "#;"):
		return "`"
	case strings.TrimSpace(value) != value:
		return `"`
	}
	return ""
}

// iniComment writes each line of text with a mark: its own, or a semicolon.
func (w *lockedWriter) iniComment(text string, trim bool) {
	if text == "" {
		return
	}
	for line := range strings.SplitSeq(text, "\n") {
		mark := ";"
		if line != "" && (line[0] == '#' || line[0] == ';') {
			mark, line = line[:1], strings.TrimSpace(line[1:])
		} else if trim {
			line = strings.TrimSpace(line)
		}
		w.text(mark + " " + line + "\n")
	}
}
