package conf

import "bytes"

// Parse reads one document whose top is a map. A document that begins with
// '{' is JSON (RFC 8259), any other one YAML 1.2, which JSON files are part of
// but take ten times as long. No file is opened: the problems name file.
//
// The document is nil where the problems leave nothing to decode. Where it is
// not, there may be problems all the same, to which those of decoding are added.
func Parse(file string, data []byte) (*Node, *Problems) {
	problems := newProblems(file)
	parse := parseYAML
	if start := bytes.TrimLeft(data, " \t\r\n"); len(start) > 0 && start[0] == '{' {
		parse = parseJSON
	}
	doc, whole := parse(data, problems)
	problems.doc = doc
	switch {
	case !whole:
		return nil, problems
	case doc.Kind != Map:
		problems.Addf(doc.Pos, "want a map of settings, have %v", doc.Kind)
		return nil, problems
	}
	// In YAML the first key stands at the same place, and a problem with the
	// document as a whole must not be taken for one with that key.
	doc.Pos.Col = 0
	return doc, problems
}

// manyKeys is the size from which on looking up keys in a hash table is
// faster than comparing them in pairs.
const manyKeys = 12

// duplicates adds a problem for each key that is given again.
func duplicates(keys []Key, problems *Problems) {
	again := func(k *Key, first Key) {
		problems.Addf(k.Pos, "key %q is given twice, first at %v", k.Name, first.Pos)
		k.wrong = true
	}
	if len(keys) >= manyKeys {
		firsts := make(map[string]Key, len(keys))
		for i := range keys {
			k := &keys[i]
			if first, dup := firsts[k.Name]; dup {
				again(k, first)
			} else {
				firsts[k.Name] = *k
			}
		}
		return
	}
	for i := range keys {
		k := &keys[i]
		for _, first := range keys[:i] {
			if first.Name == k.Name {
				again(k, first)
				break
			}
		}
	}
}
