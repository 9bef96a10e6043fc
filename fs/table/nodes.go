package table

import (
	"sync/atomic"
)

// Intern gives the node id that LOOKUP of path answers, made when it is first
// asked for. The empty path is the root. A path that turns from a file into a
// directory or back gets a new node, because the kernel holds on to a node's
// type.
func (t *Table) Intern(path string, dir bool) (NodeID, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if i, ok := t.byPath[path]; ok && t.nodes[i].dir == kind(dir) {
		return id(t.nodes[i].current.Load()), nil
	}
	at, err := t.addPath(path)
	if err != nil {
		return 0, err
	}
	i, err := t.addNode(nodeSpec{pathAt: at, pathLen: len(path), dir: dir})
	if err != nil {
		return 0, err
	}
	t.byPath[t.path(i)] = i
	return id(i), nil
}

func (t *Table) addPath(path string) (uint32, error) {
	at := t.head.paths.Load()
	if at+uint64(len(path)) > maxPaths || len(path) > 0xffff {
		return 0, ErrFull
	}
	copy(t.mem[pathsAt+int(at):], path)
	t.head.paths.Store(at + uint64(len(path)))
	return uint32(at), nil
}

type nodeSpec struct {
	pathAt  uint32
	pathLen int
	dir     bool
	primary uint32 // 0: the new node itself
}

func (t *Table) addNode(s nodeSpec) (uint32, error) {
	i := t.head.nodes.Load()
	if i >= maxNodes {
		return 0, ErrFull
	}
	n := &t.nodes[i]
	n.pathAt, n.pathLen, n.primary = s.pathAt, uint16(s.pathLen), s.primary
	n.next, n.dir = 0, kind(s.dir)
	if s.primary == 0 {
		n.primary = i
	}
	n.current.Store(i)
	n.backing.Store(0)
	n.size, n.verLen, n.seenLen, n.changed = 0, 0, 0, 0
	t.head.nodes.Store(i + 1)
	return i, nil
}

// Find tells the node that LOOKUP of path answers, if the path has ever been
// interned.
func (t *Table) Find(path string) (NodeID, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	i, ok := t.byPath[path]
	if !ok {
		return 0, false
	}
	return id(t.nodes[i].current.Load()), true
}

// Path tells the path that a node id stands for.
func (t *Table) Path(n NodeID) (path string, dir, ok bool) {
	i, ok := t.index(n)
	if !ok {
		return "", false, false
	}
	return t.path(i), t.nodes[i].dir == 1, true
}

// Primary is the first node of n's path: the one that watches and bind mounts
// of a quiet file sit on.
func (t *Table) Primary(n NodeID) NodeID {
	i, ok := t.index(n)
	if !ok {
		return 0
	}
	return id(t.nodes[i].primary)
}

// SetCurrent makes n the node that LOOKUP of its path answers.
func (t *Table) SetCurrent(n NodeID) {
	if i, ok := t.index(n); ok {
		t.nodes[t.nodes[i].primary].current.Store(i)
	}
}

// Incarnations are all nodes of n's path, the primary first.
func (t *Table) Incarnations(n NodeID) []NodeID {
	i, ok := t.index(n)
	if !ok {
		return nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	var all []NodeID
	for i = t.nodes[i].primary; ; i = t.nodes[i].next {
		all = append(all, id(i))
		if t.nodes[i].next == 0 {
			return all
		}
	}
}

// AddIncarnation gives n's path one more node.
func (t *Table) AddIncarnation(n NodeID) (NodeID, error) {
	i, ok := t.index(n)
	if !ok {
		return 0, ErrFull
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	last := &t.nodes[t.nodes[i].primary]
	for last.next != 0 {
		last = &t.nodes[last.next]
	}
	p := &t.nodes[t.nodes[i].primary]
	k, err := t.addNode(nodeSpec{pathAt: p.pathAt, pathLen: int(p.pathLen), dir: p.dir == 1, primary: t.nodes[i].primary})
	if err != nil {
		return 0, err
	}
	atomic.StoreUint32(&last.next, k)
	return id(k), nil
}

// A Carried is what a node stands for at the moment: a version, its exact
// size, and the object (backing file or snapshot) that the holder keeps of it.
type Carried struct {
	Object  int32 // 0: none
	Size    int64
	Version string
}

// Carried tells what n carries. A node that a worker died writing to carries
// nothing.
func (t *Table) Carried(n NodeID) Carried {
	i, ok := t.index(n)
	if !ok {
		return Carried{}
	}
	r := &t.nodes[i]
	object := r.backing.Load()
	if object == 0 {
		return Carried{}
	}
	return Carried{Object: object, Size: r.size, Version: string(r.version[:r.verLen])}
}

// Carry sets what n carries. The caller holds the path's lock and has made
// sure that no open handle relies on what n carried before.
func (t *Table) Carry(n NodeID, c Carried) {
	i, ok := t.index(n)
	if !ok {
		return
	}
	r := &t.nodes[i]
	r.backing.Store(0)
	r.size = c.Size
	r.verLen = uint32(copy(r.version[:], c.Version))
	r.backing.Store(c.Object)
}

// See records the version that watchers of n's path know of, and when it came
// (nanoseconds since 1970).
func (t *Table) See(n NodeID, version string, when int64) {
	if i, ok := t.index(n); ok {
		p := &t.nodes[t.nodes[i].primary]
		p.seenLen = 0
		p.changed = when
		p.seenLen = uint32(copy(p.seen[:], version))
	}
}

// Seen tells what See recorded; an empty version if nothing.
func (t *Table) Seen(n NodeID) (version string, when int64) {
	i, ok := t.index(n)
	if !ok {
		return "", 0
	}
	p := &t.nodes[t.nodes[i].primary]
	return string(p.seen[:min(p.seenLen, maxVersion)]), p.changed
}

// Each calls f for the primary node of every path.
func (t *Table) Each(f func(n NodeID, path string, dir bool)) {
	for i := range t.head.nodes.Load() {
		if t.nodes[i].primary == i {
			f(id(i), t.path(i), t.nodes[i].dir == 1)
		}
	}
}

// EachCarried calls f for every node that carries an object.
func (t *Table) EachCarried(f func(NodeID, Carried)) {
	for i := range t.head.nodes.Load() {
		if c := t.Carried(id(i)); c.Object != 0 {
			f(id(i), c)
		}
	}
}

func kind(dir bool) uint16 {
	if dir {
		return 1
	}
	return 0
}

func id(i uint32) NodeID { return NodeID(i) + Root }

func (t *Table) index(n NodeID) (uint32, bool) {
	i := uint64(n) - uint64(Root)
	if n < Root || i >= uint64(t.head.nodes.Load()) {
		return 0, false
	}
	return uint32(i), true
}
