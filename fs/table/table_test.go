package table

import (
	"os"
	"testing"
)

// newTable is a fresh table and its file.
func newTable(t *testing.T) (*Table, *os.File) {
	t.Helper()
	f, err := Create()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return remap(t, f), f
}

// remap is what the next worker sees.
func remap(t *testing.T, f *os.File) *Table {
	t.Helper()
	n, err := Map(f)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { n.Close() })
	return n
}

func intern(t *testing.T, n *Table, path string, dir bool) NodeID {
	t.Helper()
	id, err := n.Intern(path, dir)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func openHandle(t *testing.T, n *Table, unique uint64, h Handle) uint64 {
	t.Helper()
	fh, err := n.Open(unique, h)
	if err != nil {
		t.Fatal(err)
	}
	return fh
}

func TestIdsMeanTheSameToTheNextWorker(t *testing.T) {
	n, f := newTable(t)
	a, d := intern(t, n, "dir/a", false), intern(t, n, "dir", true)
	if again := intern(t, n, "dir/a", false); again != a {
		t.Fatalf("the path has node %d, then %d", a, again)
	}
	n.Carry(a, Carried{Object: 7, Size: 12, Version: "v1"})
	n.See(a, "v1", 99)
	fh := openHandle(t, n, 2, Handle{Node: a, Object: 7, Size: 12})

	next := remap(t, f)
	if path, dir, ok := next.Path(a); path != "dir/a" || dir || !ok {
		t.Errorf("node %d is %q, directory %v, known %v", a, path, dir, ok)
	}
	if _, dir, ok := next.Path(d); !dir || !ok {
		t.Errorf("node %d is no directory any more", d)
	}
	if got := intern(t, next, "dir/a", false); got != a {
		t.Errorf("the path has node %d, it was %d", got, a)
	}
	if got := next.Carried(a); got != (Carried{Object: 7, Size: 12, Version: "v1"}) {
		t.Errorf("it carries %+v", got)
	}
	if v, when := next.Seen(a); v != "v1" || when != 99 {
		t.Errorf("it was seen as %q at %d", v, when)
	}
	if h, ok := next.Handle(fh); !ok || h.Node != a || h.Object != 7 || !next.Busy(a) {
		t.Errorf("the open handle is %+v, known %v, busy %v", h, ok, next.Busy(a))
	}
	if path, _, ok := next.Path(Root); path != "" || !ok {
		t.Errorf("the root is %q, known %v", path, ok)
	}
	if got := intern(t, next, "new", false); got == a || got == d || got == Root {
		t.Errorf("a new path got the old node %d", got)
	}
}

func TestReleaseComesTwice(t *testing.T) {
	n, f := newTable(t)
	a := intern(t, n, "a", false)
	first := openHandle(t, n, 2, Handle{Node: a, Object: 1})
	second := openHandle(t, n, 4, Handle{Node: a, Object: 1})
	if _, last, ok := n.Release(first); !ok || last {
		t.Errorf("first RELEASE: known %v, last %v", ok, last)
	}
	if _, _, ok := n.Release(first); ok {
		t.Error("a RELEASE that comes again is taken for another handle's")
	}
	third := openHandle(t, n, 6, Handle{Node: a, Object: 2})
	if third == first {
		t.Error("a handle's id is used again at once")
	}
	if _, _, ok := remap(t, f).Release(first); ok {
		t.Error("a late RELEASE closes the handle that has the slot now")
	}
	if _, last, ok := n.Release(second); !ok || last {
		t.Errorf("second handle: known %v, last %v", ok, last)
	}
	if _, last, ok := n.Release(third); !ok || !last || n.Busy(a) {
		t.Errorf("third handle: known %v, last %v, busy %v", ok, last, n.Busy(a))
	}
}

func TestHandleOfAResentRequest(t *testing.T) {
	n, f := newTable(t)
	a := intern(t, n, "a", false)
	fh := openHandle(t, n, 42, Handle{Node: a, Object: 1})
	if _, ok := n.Resent(42); ok {
		t.Error("a request of this worker's own is taken for a dead one's")
	}
	next := remap(t, f)
	if got, ok := next.Resent(42); !ok || got != fh {
		t.Fatalf("the dead worker's handle is %x, found %v; want %x", got, ok, fh)
	}
	next.Release(fh)
	if _, ok := next.Resent(42); ok || next.Busy(a) {
		t.Error("the handle is there although it was released")
	}
}

func TestRetry(t *testing.T) {
	n, f := newTable(t)
	a, b := intern(t, n, "a", false), intern(t, n, "b", false)
	k, err := n.AddIncarnation(a)
	if err != nil {
		t.Fatal(err)
	}
	n.SetRetry(100, a, 2)
	for _, c := range []struct {
		what   string
		tid    uint32
		node   NodeID
		unique uint64
		want   bool
	}{
		{"another thread", 101, a, 4, false},
		{"a thread in the same slot", 100 + retrySlots, a, 4, false},
		{"another path", 100, b, 4, false},
		{"the same request, resent before its ESTALE left", 100, a, 2, false},
		{"the thread again, on another node of the path", 100, k, 6, true},
		{"that request resent", 100, a, 6, true},
		{"the thread's next open", 100, a, 8, false},
	} {
		for i, worker := range []*Table{n, remap(t, f)} {
			if got := worker.TakeRetry(c.tid, c.node, c.unique); got != c.want {
				t.Errorf("%s, worker %d: %v", c.what, i, got)
			}
		}
	}
}

func TestIncarnations(t *testing.T) {
	n, f := newTable(t)
	a := intern(t, n, "a", false)
	k, err := n.AddIncarnation(a)
	if err != nil {
		t.Fatal(err)
	}
	l, err := n.AddIncarnation(k)
	if err != nil {
		t.Fatal(err)
	}
	n.SetCurrent(l)
	next := remap(t, f)
	for _, id := range []NodeID{a, k, l} {
		if got := next.Incarnations(id); len(got) != 3 || got[0] != a || got[1] != k || got[2] != l {
			t.Errorf("the nodes of %d's path are %v, want %v", id, got, []NodeID{a, k, l})
		}
		if next.Primary(id) != a {
			t.Errorf("%d's primary is %d", id, next.Primary(id))
		}
	}
	if got := intern(t, next, "a", false); got != l {
		t.Errorf("LOOKUP answers %d, want %d", got, l)
	}
	dir := intern(t, next, "a", true)
	if dir == a || dir == k || dir == l {
		t.Error("a directory has the node of the file that it replaced")
	}
}

func TestMapRefusesAnotherLayout(t *testing.T) {
	n, f := newTable(t)
	n.head.magic++
	if _, err := Map(f); err == nil {
		t.Error("a table of another layout was mapped")
	}
}
