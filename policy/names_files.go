package policy

import (
	"bytes"
	"fmt"
	"os"
	"time"
)

// A fileStamp tells whether a file has changed. The files are looked at now
// and then rather than watched: they may be symlinks, and are replaced whole.
type fileStamp struct {
	size    int64
	changed time.Time
	file    os.FileInfo
}

func stampOf(path string) fileStamp {
	fi, err := os.Stat(path)
	if err != nil {
		return fileStamp{}
	}
	return fileStamp{fi.Size(), fi.ModTime(), fi}
}

func (s fileStamp) same(other fileStamp) bool {
	return s.size == other.size && s.changed.Equal(other.changed) &&
		(s.file == nil) == (other.file == nil) && (s.file == nil || os.SameFile(s.file, other.file))
}

func (n *Names) recheckFiles() {
	n.mu.Lock()
	defer n.mu.Unlock()
	if !n.files[0].same(stampOf(n.cfg.Passwd)) || !n.files[1].same(stampOf(n.cfg.Group)) {
		n.readFiles()
	}
}

// readFiles resolves what it can from passwd(5) and group(5). n.mu is held. A
// file that cannot be read counts as empty: its names go to Lookup.
func (n *Names) readFiles() {
	for i, path := range []string{n.cfg.Passwd, n.cfg.Group} {
		db := []Database{Users, Groups}[i]
		n.files[i] = stampOf(path) // before reading: a change in between is seen next time
		text, _ := os.ReadFile(path)
		found := idsIn(text, func(name []byte) bool { return n.entries[nameKey{db, string(name)}] != nil })
		for key, e := range n.entries {
			if key.db != db {
				continue
			}
			if id, ok := found[key.name]; ok {
				*e = nameEntry{id: id, ok: true, fromFile: true, generation: e.generation}
			} else if e.fromFile {
				*e = nameEntry{err: ErrNoSuchName, generation: e.generation}
			}
		}
	}
	n.publish()
}

// idsIn reads the ids of the wanted names. Lines of passwd(5) and group(5)
// begin alike: name, password, id. As in the C library the first line of a
// name counts, and what is malformed (NIS "+" lines too) is passed over.
func idsIn(text []byte, wanted func(name []byte) bool) map[string]uint32 {
	ids := map[string]uint32{}
	for line := range bytes.Lines(text) {
		name, id, err := parseEntry(line)
		if err != nil || !wanted(name) {
			continue
		}
		if _, again := ids[string(name)]; !again {
			ids[string(name)] = id
		}
	}
	return ids
}

func parseEntry(line []byte) (name []byte, id uint32, err error) {
	fields := bytes.SplitN(bytes.TrimRight(line, "\r\n"), []byte(":"), 4)
	if len(fields) < 3 {
		return nil, 0, fmt.Errorf("want a line of at least 3 fields, have %d", len(fields))
	}
	id, ok := parseID(string(fields[2]))
	if !ok {
		return nil, 0, fmt.Errorf("want an id in field 3, have %q", fields[2])
	}
	return fields[0], id, nil
}
