package conf

import (
	"bytes"
)

// Parse reads one document whose top is a map. A document that begins with
// '{' is JSON (RFC 8259), any other one YAML 1.2, which JSON files are part of
// but take ten times as long. The error is a *Problems that names file; no
// file is opened.
func Parse(file string, data []byte) (*Node, error) {
	var doc *Node
	problems := NewProblems(file, nil)
	if start := bytes.TrimLeft(data, " \t\r\n"); len(start) > 0 && start[0] == '{' {
		doc = parseJSON(data, problems)
	} else {
		doc = parseYAML(data, problems)
	}
	problems.doc = doc
	if err := problems.Err(); err != nil {
		return nil, err
	}
	if doc.Kind != Map {
		problems.Addf(doc.Pos, "want a map of settings, have %v", doc.Kind)
		return nil, problems
	}
	// In YAML the first key stands at the same place, and a problem with the
	// document as a whole must not be taken for one with that key.
	doc.Pos.Col = 0
	return doc, nil
}

// manyKeys is the size from which on looking up keys in a hash table is
// faster than comparing them in pairs.
const manyKeys = 12

// duplicates adds a problem for each key that is given again.
func duplicates(keys []Key, problems *Problems) {
	again := func(k, first Key) {
		problems.Addf(k.Pos, "key %q is given twice, first at %v", k.Name, first.Pos)
	}
	if len(keys) >= manyKeys {
		firsts := make(map[string]Key, len(keys))
		for _, k := range keys {
			if first, dup := firsts[k.Name]; dup {
				again(k, first)
			} else {
				firsts[k.Name] = k
			}
		}
		return
	}
	for i, k := range keys {
		for _, first := range keys[:i] {
			if first.Name == k.Name {
				again(k, first)
				break
			}
		}
	}
}
