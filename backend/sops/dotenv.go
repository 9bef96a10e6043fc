package sops

import (
	"bytes"
	"fmt"
	"strings"
	"unsafe"
)

// dotenvPrefix begins the names that make up the metadata of a dotenv file.
const dotenvPrefix = "sops_"

// parseDotenv reads lines NAME=VALUE as sops does: no quoting, no spaces
// removed, "\n" in a value for a line feed, "#" in the first column for a
// comment.
func parseDotenv(file []byte) ([]node, error) {
	root := node{kind: kindMap}
	text := unsafe.String(unsafe.SliceData(file), len(file))
	number := 0
	for line := range strings.SplitSeq(text, "\n") {
		number++
		switch name, value, ok := strings.Cut(line, "="); {
		case line == "":
		case line[0] == '#':
			root.kids = append(root.kids, node{kind: kindComment, text: line[1:]})
		case !ok:
			return nil, fmt.Errorf("line %d: neither a comment nor NAME=VALUE", number)
		default:
			root.kids = append(root.kids, node{
				kind: kindString, name: name, named: true, text: strings.ReplaceAll(value, `\n`, "\n"),
			})
		}
	}
	return []node{root}, nil
}

func emitDotenv(w *lockedWriter, root *node) error {
	for i := range root.kids {
		k := &root.kids[i]
		if k.kind == kindComment && !k.named {
			w.text("#" + k.text + "\n")
			continue
		}
		value, err := plainText(k)
		if err != nil {
			return err
		}
		w.text(k.name)
		w.text("=")
		w.escaped(value)
		w.text("\n")
	}
	return nil
}

// escaped writes s with "\n" for line feeds.
func (w *lockedWriter) escaped(s string) {
	rest := unsafe.Slice(unsafe.StringData(s), len(s))
	for {
		line, after, more := bytes.Cut(rest, []byte{'\n'})
		w.Write(line)
		if !more {
			return
		}
		w.text(`\n`)
		rest = after
	}
}
