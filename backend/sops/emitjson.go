package sops

import (
	stdjson "encoding/json"
	"strings"
	"unicode/utf8"
)

// emitJSON writes an object as sops does: indented by tabs, escaped for HTML,
// without comments.
func emitJSON(w *lockedWriter, root *node) error {
	if err := (jsonWriter{w}).value(root, 0); err != nil {
		return err
	}
	w.text("\n")
	return nil
}

type jsonWriter struct{ w *lockedWriter }

func (j jsonWriter) value(n *node, depth int) error {
	switch n.kind {
	case kindMap:
		return j.container(n, depth, "{", "}")
	case kindList:
		return j.container(n, depth, "[", "]")
	case kindString:
		j.str(n.text)
		return nil
	}
	v, err := n.typed()
	if err != nil {
		return err
	}
	text, err := stdjson.Marshal(v)
	if err != nil {
		return errSealed
	}
	j.w.Write(text)
	clear(text)
	return nil
}

func (j jsonWriter) container(n *node, depth int, begin, end string) error {
	j.w.text(begin)
	empty := true
	for i := range n.kids {
		k := &n.kids[i]
		if k.kind == kindComment {
			continue
		}
		if !empty {
			j.w.text(",")
		}
		empty = false
		j.line(depth + 1)
		if n.kind == kindMap {
			j.str(k.name)
			j.w.text(": ")
		}
		if err := j.value(k, depth+1); err != nil {
			return err
		}
	}
	if !empty {
		j.line(depth)
	}
	j.w.text(end)
	return nil
}

func (j jsonWriter) line(depth int) { j.w.text("\n" + strings.Repeat("\t", depth)) }

// str writes a string the way encoding/json does by default.
func (j jsonWriter) str(s string) {
	j.w.text(`"`)
	start := 0
	for i := 0; i < len(s); {
		r, size := rune(s[i]), 1
		if r >= utf8.RuneSelf {
			r, size = utf8.DecodeRuneInString(s[i:])
		}
		if esc := escapeJSON(r, size); esc != "" {
			j.w.text(s[start:i])
			j.w.text(esc)
			start = i + size
		}
		i += size
	}
	j.w.text(s[start:])
	j.w.text(`"`)
}

const hexDigits = "0123456789abcdef"

func escapeJSON(r rune, size int) string {
	switch {
	case r == utf8.RuneError && size == 1:
		return `\ufffd`
	case r == '\u2028':
		return `\u2028`
	case r == '\u2029':
		return `\u2029`
	case r >= utf8.RuneSelf:
		return ""
	case r == '"' || r == '\\':
		return `\` + string(r)
	case r == '\b':
		return `\b`
	case r == '\f':
		return `\f`
	case r == '\n':
		return `\n`
	case r == '\r':
		return `\r`
	case r == '\t':
		return `\t`
	case r < ' ' || r == '<' || r == '>' || r == '&':
		return `\u00` + string(hexDigits[r>>4]) + string(hexDigits[r&15])
	}
	return ""
}
