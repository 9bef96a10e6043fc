package sops

import (
	"fmt"
	"strings"

	"github.com/secretfs/secretfs/backend"
	"go.yaml.in/yaml/v3"
)

// yamlIndent is what sops indents by.
const yamlIndent = 4

func emitYAML(w *lockedWriter, docs []node) error {
	enc := yaml.NewEncoder(w)
	enc.SetIndent(yamlIndent)
	for i := range docs {
		root := &yaml.Node{Kind: yaml.MappingNode}
		if err := yamlMapping(root, docs[i].kids); err != nil {
			return err
		}
		if err := enc.Encode(&yaml.Node{Kind: yaml.DocumentNode, Content: []*yaml.Node{root}}); err != nil {
			return errEmitYAML
		}
	}
	if enc.Close() != nil {
		return errEmitYAML
	}
	return nil
}

// errEmitYAML replaces the library's error, which may quote a value.
var errEmitYAML = fmt.Errorf("it cannot be written as YAML: %w", backend.ErrUnsupported)

func emitYAMLList(w *lockedWriter, n *node) error {
	list, err := yamlNode(n)
	if err != nil {
		return err
	}
	text, err := yaml.Marshal(list)
	if err != nil {
		return errEmitYAML
	}
	_, err = w.Write(text)
	clear(text)
	return err
}

func yamlNode(n *node) (*yaml.Node, error) {
	out := &yaml.Node{}
	switch n.kind {
	case kindMap:
		out.Kind = yaml.MappingNode
		return out, yamlMapping(out, n.kids)
	case kindList:
		out.Kind = yaml.SequenceNode
		return out, yamlSequence(out, n.kids)
	}
	v, err := n.typed()
	if err != nil {
		return nil, err
	}
	if out.Encode(v) != nil {
		// The library cannot read back what it writes for some strings, as
		// "\tx\ny". sops then writes null; we write the value.
		*out = yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: n.text, Style: yaml.DoubleQuotedStyle}
	}
	return out, nil
}

// pending are comments that wait for the node they belong to.
type pending struct {
	head, line []string
	first      bool // no node has been written yet
}

func (p *pending) add(comment *node) {
	if comment.inline {
		p.line = append(p.line, comment.text)
	} else {
		p.head = append(p.head, comment.text)
	}
}

// opening hands comments at the start of a container to the container.
func (p *pending) opening(container *yaml.Node) {
	if p.first {
		joinComments(&container.HeadComment, &p.head, false)
		p.first = false
	}
}

// closing hands what is left to the last node, or to the container if it has none.
func (p *pending) closing(container *yaml.Node, fromEnd int) {
	rest := append(p.head, p.line...)
	if p.first {
		joinComments(&container.HeadComment, &rest, false)
		return
	}
	joinComments(&container.Content[len(container.Content)-fromEnd].FootComment, &rest, true)
}

// joinComments moves lines into a comment, before what it has or after.
func joinComments(to *string, lines *[]string, after bool) {
	if len(*lines) == 0 {
		return
	}
	text := "#" + strings.Join(*lines, "\n#")
	switch {
	case *to == "":
		*to = text
	case after:
		*to += "\n" + text
	default:
		*to = text + "\n" + *to
	}
	*lines = nil
}

func yamlMapping(out *yaml.Node, kids []node) error {
	p := pending{first: true}
	for i := range kids {
		k := &kids[i]
		if k.kind == kindComment && !k.named {
			p.add(k)
			continue
		}
		p.opening(out)
		name, err := yamlNode(&node{kind: kindString, text: k.name})
		if err != nil {
			return err
		}
		joinComments(&name.HeadComment, &p.head, false)
		value, err := yamlNode(k)
		if err != nil {
			return err
		}
		joinComments(&value.LineComment, &p.line, true)
		out.Content = append(out.Content, name, value)
	}
	p.closing(out, 2)
	return nil
}

func yamlSequence(out *yaml.Node, kids []node) error {
	p := pending{first: true}
	for i := range kids {
		k := &kids[i]
		if k.kind == kindComment {
			p.add(k)
			continue
		}
		p.opening(out)
		item, err := yamlNode(k)
		if err != nil {
			return err
		}
		joinComments(&item.HeadComment, &p.head, false)
		joinComments(&item.LineComment, &p.line, true)
		out.Content = append(out.Content, item)
	}
	p.closing(out, 1)
	return nil
}
