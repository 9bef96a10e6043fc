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

// parseYAML reads the whole document, or adds the problem that kept it from that.
func parseYAML(data []byte, problems *Problems) (doc *Node, whole bool) {
	if offset, msg := unreadable(data); msg != "" {
		problems.Addf(posAt(string(data), offset), "reading YAML: %s", msg)
		return nil, false
	}
	dec := yaml.NewDecoder(bytes.NewReader(data))
	var first, second yaml.Node
	switch err := dec.Decode(&first); {
	case errors.Is(err, io.EOF):
		return &Node{Pos: Pos{1, 1}}, true
	case err != nil:
		yamlError(err, string(data), problems)
		return nil, false
	}
	r := yamlReader{problems: problems}
	n := r.convert(first.Content[0])
	switch err := dec.Decode(&second); {
	case err == nil:
		problems.Addf(yamlPos(&second), "a second document begins here; want one")
	case !errors.Is(err, io.EOF):
		yamlError(err, string(data), problems)
		return &n, false
	}
	return &n, !r.aliases
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

// A yamlReader turns the library's nodes into ours.
type yamlReader struct {
	problems *Problems
	aliases  bool // there are some, so that values are missing
}

func (r *yamlReader) convert(y *yaml.Node) Node {
	n := Node{Pos: yamlPos(y)}
	r.refuse(y)
	switch y.Kind {
	case yaml.AliasNode:
		r.aliases = true
	case yaml.MappingNode:
		n.Kind, n.children = Map, r.convertMap(y)
	case yaml.SequenceNode:
		n.Kind, n.children = List, &children{}
		for _, item := range y.Content {
			n.children.items = append(n.children.items, r.convert(item))
		}
	default:
		n.Kind, n.Text = scalar(y)
	}
	return n
}

// refuse adds a problem for what YAML has and a policy has not.
func (r *yamlReader) refuse(y *yaml.Node) {
	switch explicitTag := y.Style&yaml.TaggedStyle != 0; {
	case y.Anchor != "" || y.Kind == yaml.AliasNode:
		r.problems.Addf(yamlPos(y), "anchors and aliases (& and *) are not supported; write the value out")
	case explicitTag:
		r.problems.Addf(yamlPos(y), "the tag %s is not supported; use quotes for a text", y.Tag)
	}
}

func (r *yamlReader) convertMap(y *yaml.Node) *children {
	half := len(y.Content) / 2
	c := &children{keys: make([]Key, half), items: make([]Node, half)}
	for i := range half {
		c.keys[i] = r.key(y.Content[2*i])
		c.items[i] = r.convert(y.Content[2*i+1])
	}
	duplicates(c.keys, r.problems)
	return c
}

// key is the name of an entry. One that looks like a number or a boolean is
// still a name.
func (r *yamlReader) key(y *yaml.Node) Key {
	k := Key{Name: y.Value, Pos: yamlPos(y), wrong: true}
	switch {
	case y.ShortTag() == "!!merge":
		r.problems.Addf(k.Pos, "merge keys (<<) are not supported; write the entries out")
	case y.Kind != yaml.ScalarNode || y.ShortTag() == "!!null":
		r.problems.Addf(k.Pos, "a key must be a text")
	default:
		r.refuse(y)
		k.wrong = false
	}
	return k
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
