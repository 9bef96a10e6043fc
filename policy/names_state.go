package policy

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
)

// Save returns what Lookup has found, for the Names of a next worker: without
// it, files of such owners would be root's alone until the name service has
// answered again. It has the form of the files, "passwd:name:id" a line.
func (n *Names) Save() []byte {
	n.mu.Lock()
	defer n.mu.Unlock()
	var lines []string
	for key, e := range n.entries {
		if e.ok && !e.fromFile {
			lines = append(lines, fmt.Sprintf("%s:%s:%d\n", key.db, key.name, e.id))
		}
	}
	slices.Sort(lines)
	return []byte(strings.Join(lines, ""))
}

// Restore takes what Save returned, before the first Use. It counts until
// Lookup, asked again at once, says otherwise. What makes no sense is left out.
func (n *Names) Restore(saved []byte) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for line := range bytes.Lines(saved) {
		db, entry, _ := bytes.Cut(line, []byte(":"))
		name, digits, _ := bytes.Cut(bytes.TrimSpace(entry), []byte(":"))
		id, ok := parseID(string(digits))
		if key := (nameKey{Database(db), string(name)}); ok && (key.db == Users || key.db == Groups) {
			n.entries[key] = &nameEntry{id: id, ok: true, generation: n.generation}
		}
	}
}
