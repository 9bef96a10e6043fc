package sops

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// maxDepth bounds nesting.
const maxDepth = 1000

var (
	errDepth    = errors.New("it is nested too deeply")
	errSequence = errors.New("a document must be a mapping")
)

// A yamlReader turns the documents of a YAML stream into trees the way sops
// does: aliases are followed, comments become members of their own.
type yamlReader struct {
	lines []uint32 // offset of each line
	nodes int
	depth int
}

func parseYAML(file []byte) ([]node, error) {
	s := shorten(file)
	if yamlMarks(s.text) > maxNodes {
		return nil, errNodes
	}
	return readYAML(s)
}

// yamlMarks counts the bytes without which no further node begins: so many nodes
// does the library make, or fewer.
func yamlMarks(text []byte) (n int) {
	for _, mark := range "\n\r,:-?[{" {
		n += bytes.Count(text, []byte{byte(mark)})
	}
	return n
}

func readYAML(s *shortened) ([]node, error) {
	r := yamlReader{lines: lineOffsets(s.file)}
	var docs []node
	dec := yaml.NewDecoder(bytes.NewReader(s.text))
	for {
		var doc yaml.Node
		err := dec.Decode(&doc)
		if errors.Is(err, io.EOF) {
			return docs, nil
		}
		if err != nil {
			return nil, yamlError(err)
		}
		s.restoreAll(&doc)
		if len(docs) == 0 {
			if err := checkFirst(&doc); err != nil {
				return nil, err
			}
		}
		root := node{kind: kindMap}
		if root.kids, err = r.document(&doc); err != nil {
			return nil, err
		}
		docs = append(docs, root)
	}
}

// yamlError keeps the line of a syntax error and drops the rest, which may
// quote a value.
func yamlError(err error) error {
	var line int
	for _, part := range strings.SplitAfter(err.Error(), "line ") {
		if n, _ := fmt.Sscanf(part, "%d:", &line); n == 1 {
			return fmt.Errorf("line %d: not valid YAML", line)
		}
	}
	return errors.New("not valid YAML")
}

func lineOffsets(file []byte) []uint32 {
	lines := make([]uint32, 1, bytes.Count(file, []byte{'\n'})+1)
	for i, c := range file {
		if c == '\n' {
			lines = append(lines, uint32(i+1))
		}
	}
	return lines
}

func (r *yamlReader) hint(n *yaml.Node) uint32 {
	if n.Line < 1 || n.Line > len(r.lines) {
		return 0
	}
	return r.lines[n.Line-1]
}

func appendComments(kids []node, text string, inline bool) []node {
	if text == "" {
		return kids
	}
	for line := range strings.SplitSeq(text, "\n") {
		if line != "" {
			kids = append(kids, node{kind: kindComment, text: line[1:], inline: inline})
		}
	}
	return kids
}

func (r *yamlReader) document(doc *yaml.Node) ([]node, error) {
	kids := appendComments(nil, doc.HeadComment, false)
	kids = appendComments(kids, doc.LineComment, false)
	for _, root := range doc.Content {
		var err error
		if kids, err = r.root(kids, root); err != nil {
			return nil, err
		}
	}
	return appendComments(kids, doc.FootComment, false), nil
}

func (r *yamlReader) root(kids []node, root *yaml.Node) ([]node, error) {
	switch root.Kind {
	case yaml.AliasNode:
		return r.root(kids, root.Alias)
	case yaml.MappingNode:
		return r.mapping(kids, root, false)
	case yaml.ScalarNode:
		if root.ShortTag() == "!!null" {
			kids = appendComments(kids, root.HeadComment, false)
			return appendComments(kids, root.LineComment, false), nil
		}
	}
	return nil, errSequence
}

// mapping appends the members of m. With handled, the comments around m are
// those of the entry that holds it and are there already.
func (r *yamlReader) mapping(kids []node, m *yaml.Node, handled bool) ([]node, error) {
	if kids == nil {
		kids = make([]node, 0, len(m.Content)/2)
	}
	if !handled {
		kids = appendComments(kids, m.HeadComment, false)
		kids = appendComments(kids, m.LineComment, false)
	}
	for i := 0; i+1 < len(m.Content); i += 2 {
		var err error
		if kids, err = r.member(kids, m.Content[i], m.Content[i+1]); err != nil {
			return nil, err
		}
	}
	if !handled {
		kids = appendComments(kids, m.FootComment, false)
	}
	return kids, nil
}

func (r *yamlReader) member(kids []node, key, value *yaml.Node) ([]node, error) {
	kids = appendComments(kids, key.HeadComment, false)
	kids = appendComments(kids, key.LineComment, false)
	leaf := value.Kind == yaml.ScalarNode || value.Kind == yaml.AliasNode
	if leaf {
		kids = appendComments(kids, value.HeadComment, false)
		kids = appendComments(kids, value.LineComment, true)
	}
	k, err := r.value(value, leaf)
	if err != nil {
		return nil, err
	}
	k.hint = r.hint(key)
	k.name, k.named = yamlName(key)
	kids = append(kids, k)
	if leaf {
		kids = appendComments(kids, value.FootComment, false)
	}
	return appendComments(kids, key.FootComment, false), nil
}

func yamlName(key *yaml.Node) (name string, ok bool) {
	n := node{}
	if key.Kind == yaml.ScalarNode {
		n = yamlScalar(key)
	}
	return n.text, n.kind == kindString
}

func (r *yamlReader) list(l *yaml.Node, handled bool) ([]node, error) {
	kids := make([]node, 0, len(l.Content))
	if !handled {
		kids = appendComments(kids, l.HeadComment, false)
		kids = appendComments(kids, l.LineComment, false)
	}
	for _, item := range l.Content {
		kids = appendComments(kids, item.HeadComment, false)
		kids = appendComments(kids, item.LineComment, true)
		k, err := r.value(item, true)
		if err != nil {
			return nil, err
		}
		k.hint = r.hint(item)
		kids = append(kids, k)
		kids = appendComments(kids, item.FootComment, false)
	}
	if !handled {
		kids = appendComments(kids, l.FootComment, false)
	}
	return kids, nil
}

func (r *yamlReader) value(v *yaml.Node, handled bool) (n node, err error) {
	if r.nodes++; r.nodes > maxNodes { // sops writes no alias; many make a bomb
		return n, errNodes
	}
	if r.depth++; r.depth > maxDepth {
		return n, errDepth
	}
	defer func() { r.depth-- }()
	switch v.Kind {
	case yaml.MappingNode:
		n.kind = kindMap
		n.kids, err = r.mapping(nil, v, handled)
	case yaml.SequenceNode:
		n.kind = kindList
		n.kids, err = r.list(v, handled)
	case yaml.AliasNode:
		return r.value(v.Alias, false)
	case yaml.ScalarNode:
		n = yamlScalar(v)
	}
	return n, err
}

// yamlScalar resolves v as the YAML library does. What does not decode is null
// to sops.
func yamlScalar(v *yaml.Node) node {
	if v.Tag == "!!str" {
		return node{kind: kindString, text: v.Value}
	}
	var any any
	if v.Decode(&any) != nil {
		return node{kind: kindNull}
	}
	return scalar(any)
}

func scalar(v any) node {
	switch v := v.(type) {
	case nil:
		return node{kind: kindNull}
	case string:
		return node{kind: kindString, text: v}
	case int:
		return node{kind: kindInt, text: fmt.Sprint(v)}
	case float64:
		return node{kind: kindFloat, text: string(formatFloat(nil, v))}
	case bool:
		return node{kind: kindBool, text: boolText(v)}
	case time.Time:
		if text, err := v.MarshalText(); err == nil {
			return node{kind: kindTime, text: string(text)}
		}
	}
	return node{kind: kindStrange}
}
