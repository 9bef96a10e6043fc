package conf

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

func parseYAML(data []byte, problems *Problems) *Node {
	if offset, msg := unreadable(data); msg != "" {
		problems.Addf(posAt(string(data), offset), "reading YAML: %s", msg)
		return nil
	}
	dec := yaml.NewDecoder(bytes.NewReader(data))
	var doc, second yaml.Node
	switch err := dec.Decode(&doc); {
	case errors.Is(err, io.EOF):
		return &Node{Pos: Pos{1, 1}}
	case err != nil:
		yamlError(err, string(data), problems)
		return nil
	}
	n := convert(doc.Content[0], problems)
	switch err := dec.Decode(&second); {
	case err == nil:
		problems.Addf(yamlPos(&second), "a second document begins here; want one")
	case !errors.Is(err, io.EOF):
		yamlError(err, string(data), problems)
	}
	return &n
}

// unreadable finds the first byte that YAML 1.2 does not allow anywhere
// (section 5.1). The library would not say where it is.
func unreadable(data []byte) (offset int, msg string) {
	for i := 0; i < len(data); {
		r, size := utf8.DecodeRune(data[i:])
		switch {
		case r == utf8.RuneError && size == 1:
			return i, "this is not UTF-8"
		case r < ' ' && r != '\t' && r != '\n' && r != '\r', r == 0x7f:
			return i, "this is a control character"
		}
		i += size
	}
	return 0, ""
}

// yamlError takes the line out of the library's text, the only place where it
// has it. It is not there for the first line; and errors of the library's
// parser, unlike those of its scanner, count lines from 0.
func yamlError(err error, src string, problems *Problems) {
	msg := strings.TrimPrefix(err.Error(), "yaml: ")
	pos := Pos{Line: 1}
	if after, ok := strings.CutPrefix(msg, "line "); ok {
		digits, rest, _ := strings.Cut(after, ": ")
		if line, err := strconv.ParseInt(digits, 10, 32); err == nil {
			pos.Line, msg = int32(line), rest
			if slices.Contains(parserErrors, msg) {
				pos.Line++
			}
		}
	}
	if name, ok := strings.CutPrefix(msg, "unknown anchor '"); ok {
		name, _, _ = strings.Cut(name, "'")
		pos, msg = posAt(src, max(0, strings.Index(src, "*"+name))), "a text that begins with * needs quotes"
	}
	problems.Addf(pos, "reading YAML: %s", msg)
}

// parserErrors are the texts of the library's parser that come with a line.
var parserErrors = []string{
	"did not find expected <document start>",
	"did not find expected node content",
	"did not find expected key",
	"did not find expected '-' indicator",
	"did not find expected ',' or ']'",
	"did not find expected ',' or '}'",
}

func yamlPos(y *yaml.Node) Pos { return Pos{int32(y.Line), int32(y.Column)} }

func convert(y *yaml.Node, problems *Problems) Node {
	n := Node{Pos: yamlPos(y)}
	if y.Anchor != "" || y.Kind == yaml.AliasNode {
		problems.Addf(n.Pos, "anchors and aliases (& and *) are not supported; write the value out")
		return n
	}
	if explicit := y.Style&yaml.TaggedStyle != 0; explicit {
		problems.Addf(n.Pos, "the tag %s is not supported; use quotes for a text", y.Tag)
		return n
	}
	switch y.Kind {
	case yaml.MappingNode:
		n.Kind, n.children = Map, convertMap(y, problems)
	case yaml.SequenceNode:
		n.Kind, n.children = List, &children{}
		for _, item := range y.Content {
			n.children.items = append(n.children.items, convert(item, problems))
		}
	default:
		n.Kind, n.Text = scalar(y)
	}
	return n
}

func convertMap(y *yaml.Node, problems *Problems) *children {
	half := len(y.Content) / 2
	c := &children{keys: make([]Key, half), items: make([]Node, half)}
	for i := range half {
		key := y.Content[2*i]
		pos := yamlPos(key)
		switch {
		case key.ShortTag() == "!!merge":
			problems.Addf(pos, "merge keys (<<) are not supported; write the entries out")
		case key.Kind != yaml.ScalarNode || key.ShortTag() == "!!null":
			problems.Addf(pos, "a key must be a text")
		default:
			convert(key, problems) // for anchors and tags
		}
		// A name that looks like a number or a boolean is still a name.
		c.keys[i] = Key{key.Value, pos}
		c.items[i] = convert(y.Content[2*i+1], problems)
	}
	duplicates(c.keys, problems)
	return c
}

func scalar(y *yaml.Node) (Kind, string) {
	switch y.ShortTag() {
	case "!!null":
		return Null, ""
	case "!!bool":
		return Bool, strings.ToLower(y.Value)
	case "!!int", "!!float":
		return Number, y.Value
	}
	return Text, y.Value
}
