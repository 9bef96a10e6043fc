package sops

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/secretfs/secretfs/backend"
	"github.com/secretfs/secretfs/backend/secret"
	"github.com/secretfs/secretfs/backend/sops/keys"
)

// A Document is one version of one file. Its names and lengths can be asked for
// at once, its values once Unlock has been called. It is safe for concurrent
// use.
type Document struct {
	format Format
	meta   *metadata
	index  *index
	box    atomic.Pointer[box] // nil until unlocked
	whole  backend.Version

	mu       sync.Mutex
	rendered map[uint32]int64           // guarded by mu; lengths of sub-trees once known
	subtrees map[uint32]backend.Version // guarded by mu
}

// Parse indexes the bytes of a file and keeps them. An error wraps
// backend.ErrCorrupt and quotes no value.
func Parse(file []byte, format Format) (*Document, error) {
	docs, meta, err := parseFile(file, format)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", err, backend.ErrCorrupt)
	}
	x, err := buildIndex(file, docs, &meta.rules)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", err, backend.ErrCorrupt)
	}
	sum := sha256.Sum256(file)
	return &Document{
		format: format, meta: meta, index: x, whole: version(sum[:]),
		rendered: map[uint32]int64{}, subtrees: map[uint32]backend.Version{},
	}, nil
}

// parseFile makes trees of a file, without its sops section.
func parseFile(file []byte, format Format) (docs []node, meta *metadata, err error) {
	if len(file) == 0 {
		return nil, nil, errNoMetadata
	}
	if len(file) > maxFile {
		return nil, nil, fmt.Errorf("it is larger than %d bytes", maxFile)
	}
	if (format == Dotenv || format == INI) && bytes.Count(file, []byte{'\n'}) > maxNodes {
		return nil, nil, errNodes
	}
	switch format {
	case YAML:
		docs, err = parseYAML(file)
	case JSON, Binary:
		docs, err = parseJSON(file)
	case Dotenv:
		docs, err = parseDotenv(file)
	case INI:
		docs, err = parseINI(file)
	default:
		err = fmt.Errorf("unknown format %q", format)
	}
	if err != nil {
		return nil, nil, err
	}
	section, err := cutMetadata(docs, format)
	if err != nil {
		return nil, nil, err
	}
	meta, err = parseMetadata(section)
	return docs, meta, err
}

// Keys is what recovers the data key.
func (d *Document) Keys() keys.Metadata { return d.meta.keys }

// Unlock checks the MAC over the whole file with its data key, which stays the
// caller's. An error wraps backend.ErrCorrupt, and the document stays locked.
func (d *Document) Unlock(dataKey *secret.Value) error {
	b, err := newBox(dataKey)
	if err != nil {
		return err
	}
	if err := d.verify(b); err != nil {
		return err
	}
	d.box.Store(b)
	return nil
}

// Get decrypts what key names.
func (d *Document) Get(key string) (*backend.Secret, error) {
	if d.box.Load() == nil {
		return nil, backend.ErrLocked
	}
	i, err := d.lookup(key)
	if err != nil {
		return nil, err
	}
	v, err := d.value(i)
	if err != nil {
		return nil, fmt.Errorf("key %q: %w", key, err)
	}
	return &backend.Secret{Value: v, Version: d.version(i)}, nil
}

// Stat tells what is known of key without decrypting.
func (d *Document) Stat(key string) (backend.Info, error) {
	i, err := d.lookup(key)
	if err != nil {
		return backend.Info{}, err
	}
	return backend.Info{Size: d.size(i), Version: d.version(i), Dir: d.index.isContainer(i)}, nil
}

// List names the members of the sub-tree at key, in the order of the file. Names
// that no file can have (empty, "." and "..", with a slash or a zero byte, longer
// than 255 bytes) are left out; such values can still be asked for by key.
func (d *Document) List(key string) ([]backend.Entry, error) {
	i, err := d.lookup(key)
	if err != nil {
		return nil, err
	}
	if !d.index.isContainer(i) {
		return nil, fmt.Errorf("key %q is a value, not a sub-tree: %w", key, backend.ErrNotFound)
	}
	var list []backend.Entry
	for c := range d.index.children(i) {
		name := string(d.index.appendName(nil, c))
		if first, _ := d.index.child(i, name); first != c || !fileName(name) {
			continue
		}
		list = append(list, backend.Entry{Name: name, Dir: d.index.isContainer(c)})
	}
	return list, nil
}

func fileName(name string) bool {
	return name != "" && name != "." && name != ".." && len(name) <= 255 && !strings.ContainsAny(name, "/\x00")
}

// size is the length of the plaintext of entry i.
func (d *Document) size(i uint32) int64 {
	e := &d.index.entries[i]
	d.mu.Lock()
	n, known := d.rendered[i]
	d.mu.Unlock()
	switch {
	case known:
		return n
	case d.index.isContainer(i):
		return backend.SizeUnknown
	case e.kind == kindNull:
		return int64(len(nullText))
	case !e.sealed:
		return int64(e.textLen)
	}
	s, _ := parseSealed(d.index.text(i))
	return int64(s.size())
}

func (d *Document) setSize(i uint32, n int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.rendered[i] = int64(n)
}

// version names the state of entry i. Values in the clear are hashed together
// with the MAC of the file, which is different in each file and each edition:
// a hash of plaintext alone could be guessed at.
func (d *Document) version(i uint32) backend.Version {
	e := &d.index.entries[i]
	switch {
	case e.parent == noParent:
		return d.whole
	case d.index.isContainer(i):
		return d.subtree(i)
	case e.sealed:
		sum := sha256.Sum256(d.index.text(i))
		return version(sum[:])
	}
	h := sha256.New()
	fmt.Fprintf(h, "%s\n%d\n", d.meta.mac, e.kind)
	h.Write(d.index.text(i))
	return version(h.Sum(nil))
}

// subtree hashes all that rendering the sub-tree at i depends on.
func (d *Document) subtree(i uint32) backend.Version {
	d.mu.Lock()
	defer d.mu.Unlock()
	if v, ok := d.subtrees[i]; ok {
		return v
	}
	h := sha256.New()
	salted := false
	var name []byte
	for c := i; c < d.index.next(i); c++ {
		e := &d.index.entries[c]
		name = d.index.appendName(name[:0], c)
		fmt.Fprintf(h, "%q %d %d %v ", name, e.kind, e.textLen, e.sealed)
		if !d.index.isContainer(c) {
			h.Write(d.index.text(c))
			salted = salted || !e.sealed
		}
	}
	if salted {
		h.Write([]byte(d.meta.mac))
	}
	v := version(h.Sum(nil))
	d.subtrees[i] = v
	return v
}

func version(sum []byte) backend.Version { return backend.Version(hex.EncodeToString(sum[:8])) }
