package policy

import (
	"hash/maphash"
	"slices"
	"strings"
	"time"
)

// A NodeKind tells the kinds of node of the mount apart.
type NodeKind uint8

// The kinds of node.
const (
	// File is a configured secret.
	File NodeKind = iota + 1
	// Dir is a directory that is there whatever any backend says. One with a
	// Backend also holds what that backend has below Key.
	Dir
	// Dynamic is a path below such a directory. Whether it exists, and as what,
	// only the backend knows.
	Dynamic
)

// A Node is what the policy says about one path of the mount.
type Node struct {
	Kind NodeKind
	// Perm is who may read a file; its owner and group own a directory.
	Perm *Perm
	// DirMode is the mode of a directory, as which a Dynamic may turn out.
	DirMode uint32
	Backend string
	Key     string
	// Wait is how long a reader waits for a backend that is not up yet.
	Wait time.Duration
}

// A Child is one entry of a directory.
type Child struct {
	Name string
	Dir  bool
}

// A Tree answers by path what a Policy says. It is immutable and safe for
// concurrent use, does no I/O, and costs some 10 bytes a secret beyond those
// of the Policy: nodes are numbers, first all secrets, then all directories.
type Tree struct {
	policy *Policy
	dirs   []treeDir
	// table finds nodes by the hash of their path: open addressing with a
	// power of two of slots that hold node+1.
	table []uint32
	seed  maphash.Seed
	// children holds the nodes in each directory, sorted by name.
	children []uint32
}

// A treeDir is a directory, configured or implied by what lies in it.
type treeDir struct {
	path         string
	perm         *Perm
	backend, key string
	mode         uint32
	first, count uint32 // its part of children
}

// NewTree returns the tree of p. A directory that no entry is about has the
// default owner and mode 0755, within a dynamic directory what that one has;
// and every directory within a dynamic one shows that backend's sub-tree too,
// unless it has a backend of its own.
func NewTree(p *Policy) *Tree {
	t := &Tree{policy: p, seed: maphash.MakeSeed()}
	t.addDirs()
	t.index()
	t.link()
	return t
}

// addDirs makes all directories, in tree order and so parents first.
func (t *Tree) addDirs() {
	paths := map[string]*Directory{"": nil}
	addParents := func(path string) {
		for at := parent(path); at != ""; at = parent(at) {
			if _, known := paths[at]; known {
				return
			}
			paths[at] = nil
		}
	}
	for i := range t.policy.Secrets {
		addParents(t.policy.Secrets[i].Path)
	}
	for i := range t.policy.Dirs {
		d := &t.policy.Dirs[i]
		addParents(d.Path)
		paths[d.Path] = d
	}
	t.dirs = make([]treeDir, 0, len(paths))
	for path, entry := range paths {
		t.dirs = append(t.dirs, treeDir{path: path, perm: t.policy.Default, mode: defaultDirMode})
		if entry != nil {
			d := &t.dirs[len(t.dirs)-1]
			d.perm, d.mode, d.backend, d.key = entry.Perm, entry.DirMode, entry.Backend, entry.Key
		}
	}
	slices.SortFunc(t.dirs, func(a, b treeDir) int { return comparePaths(a.path, b.path) })
	t.inherit(paths)
}

// inherit hands dynamic directories down to the directories within them.
func (t *Tree) inherit(configured map[string]*Directory) {
	var open []int // the directories that the current one lies in
	for i := range t.dirs {
		d := &t.dirs[i]
		for len(open) > 0 && !isBelow(d.path, t.dirs[open[len(open)-1]].path) {
			open = open[:len(open)-1]
		}
		if len(open) > 0 && d.backend == "" {
			if up := &t.dirs[open[len(open)-1]]; up.backend != "" {
				d.backend, d.key = up.backend, up.keyOf(d.path)
				if configured[d.path] == nil {
					d.perm, d.mode = up.perm, up.mode
				}
			}
		}
		open = append(open, i)
	}
}

// keyOf is the key of the path below d within d's backend.
func (d *treeDir) keyOf(path string) string {
	rest := path
	if d.path != "" {
		rest = path[len(d.path)+1:]
	}
	if d.key == "" {
		return rest
	}
	return d.key + "/" + rest
}

func (t *Tree) len() int { return len(t.policy.Secrets) + len(t.dirs) }

func (t *Tree) path(node uint32) string {
	if int(node) < len(t.policy.Secrets) {
		return t.policy.Secrets[node].Path
	}
	return t.dir(node).path
}

// dir is the directory of that number, nil for a secret.
func (t *Tree) dir(node uint32) *treeDir {
	if i := int(node) - len(t.policy.Secrets); i >= 0 {
		return &t.dirs[i]
	}
	return nil
}

func (t *Tree) index() {
	slots := 2
	for slots*3 < t.len()*4 {
		slots *= 2
	}
	t.table = make([]uint32, slots)
	for node := range uint32(t.len()) {
		*t.slot(t.path(node)) = node + 1
	}
}

// slot is where path is in the table, or would be.
func (t *Tree) slot(path string) *uint32 {
	mask := uint64(len(t.table) - 1)
	for i := maphash.String(t.seed, path) & mask; ; i = (i + 1) & mask {
		if s := &t.table[i]; *s == 0 || t.path(*s-1) == path {
			return s
		}
	}
}

// link fills in the children of all directories.
func (t *Tree) link() {
	parents := make([]*treeDir, t.len())
	for node := range uint32(t.len()) {
		if path := t.path(node); path != "" {
			parents[node] = t.dir(*t.slot(parent(path)) - 1)
			parents[node].count++
		}
	}
	var total uint32
	for i := range t.dirs {
		d := &t.dirs[i]
		d.first, d.count, total = total, 0, total+d.count
	}
	t.children = make([]uint32, total)
	for node, d := range parents {
		if d != nil {
			t.children[d.first+d.count] = uint32(node)
			d.count++
		}
	}
	for i := range t.dirs {
		slices.SortFunc(t.nodesIn(&t.dirs[i]), func(a, b uint32) int {
			return strings.Compare(t.path(a), t.path(b))
		})
	}
}

func (t *Tree) nodesIn(d *treeDir) []uint32 { return t.children[d.first : d.first+d.count] }

// Lookup says what is at path, which is clean and relative to the mount; ""
// is its root.
func (t *Tree) Lookup(path string) (Node, bool) {
	if slot := *t.slot(path); slot != 0 {
		return t.node(slot - 1), true
	}
	at := parent(path)
	for *t.slot(at) == 0 {
		at = parent(at)
	}
	d := t.dir(*t.slot(at) - 1)
	if d == nil || d.backend == "" {
		return Node{}, false
	}
	return Node{Kind: Dynamic, Perm: d.perm, DirMode: d.mode, Backend: d.backend, Key: d.keyOf(path)}, true
}

func (t *Tree) node(node uint32) Node {
	if d := t.dir(node); d != nil {
		return Node{Kind: Dir, Perm: d.perm, DirMode: d.mode, Backend: d.backend, Key: d.key}
	}
	s := &t.policy.Secrets[node]
	return Node{Kind: File, Perm: s.Perm, Backend: s.Backend, Key: s.Key, Wait: s.Wait}
}

// Ancestors appends to list the directories on the way to path, the root of the
// mount first, path itself not, and returns the result. It is for a path that
// Lookup knows.
func (t *Tree) Ancestors(list []Node, path string) []Node {
	for i := 0; i < len(path); i++ {
		if i == 0 || path[i] == '/' {
			n, _ := t.Lookup(path[:i])
			list = append(list, n)
		}
	}
	return list
}

// Children lists what the policy has in the directory at path, sorted by name.
// What its backend has comes on top; where both have a name, the policy's
// counts. There are none where path is no directory of the policy.
func (t *Tree) Children(path string) []Child {
	nodes := t.nodesAt(path)
	list := make([]Child, len(nodes))
	for i, node := range nodes {
		p := t.path(node)
		list[i] = Child{Name: p[strings.LastIndexByte(p, '/')+1:], Dir: t.dir(node) != nil}
	}
	return list
}

// Subdirs is how many of the Children of path are directories.
func (t *Tree) Subdirs(path string) int {
	n := 0
	for _, node := range t.nodesAt(path) {
		if t.dir(node) != nil {
			n++
		}
	}
	return n
}

func (t *Tree) nodesAt(path string) []uint32 {
	slot := *t.slot(path)
	if slot == 0 || t.dir(slot-1) == nil {
		return nil
	}
	return t.nodesIn(t.dir(slot - 1))
}
