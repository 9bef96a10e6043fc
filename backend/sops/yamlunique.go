package sops

import (
	"fmt"

	"go.yaml.in/yaml/v3"
)

// checkFirst refuses what sops refuses of the first document of a stream, which
// it decodes into a Go map once, for the sake of unique keys. That takes time
// quadratic in the number of keys, so it is only done for files with aliases,
// merges or tags, none of which sops writes.
func checkFirst(doc *yaml.Node) error {
	u := &uniqueKeys{}
	if err := u.check(doc); err != nil {
		return err
	}
	if !u.unusual {
		return nil
	}
	var into map[string]any
	if err := doc.Decode(&into); err != nil {
		return yamlError(err)
	}
	return nil
}

type uniqueKeys struct {
	unusual bool
	depth   int
}

// A nodeID is what makes two keys equal to the YAML library.
type nodeID struct {
	kind  yaml.Kind
	value string
}

func (u *uniqueKeys) check(n *yaml.Node) error {
	if u.depth++; u.depth > maxDepth {
		return errDepth
	}
	defer func() { u.depth-- }()
	if n.Kind == yaml.AliasNode || n.Anchor != "" || n.Style&yaml.TaggedStyle != 0 || n.Tag == "!!merge" {
		u.unusual = true
	}
	if n.Kind == yaml.MappingNode {
		if err := u.members(n); err != nil {
			return err
		}
	}
	for _, c := range n.Content {
		if err := u.check(c); err != nil {
			return err
		}
	}
	return nil
}

func (u *uniqueKeys) members(m *yaml.Node) error {
	seen := make(map[nodeID]bool, len(m.Content)/2)
	for i := 0; i < len(m.Content); i += 2 {
		k := m.Content[i]
		if k.Kind != yaml.ScalarNode {
			u.unusual = true
		}
		id := nodeID{k.Kind, k.Value}
		if seen[id] {
			return fmt.Errorf("line %d: the key is there twice", k.Line)
		}
		seen[id] = true
	}
	return nil
}
