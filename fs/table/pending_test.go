package table

import "testing"

func TestTheNextWorkerAnswersWhatOneHasTaken(t *testing.T) {
	n, f := newTable(t)
	a := intern(t, n, "a", false)
	done := n.Begin(Pending{Unique: 2, Node: a, TID: 11, Errno: 5})
	n.End(done)
	n.Begin(Pending{Unique: 4, Node: a, TID: 12, Errno: 116})
	fh := openHandle(t, n, 4, Handle{Node: a, Object: 7})

	next := remap(t, f)
	said := make(map[uint64]Pending)
	next.Left(func(p Pending) bool {
		said[p.Unique] = p
		return p.Unique == 4 // the answer to 2 has left: the kernel knows it no more
	})
	if len(said) != 2 || said[4] != (Pending{4, a, 12, 116}) {
		t.Errorf("the next worker answers %v", said)
	}
	if _, _, ok := next.Release(fh); ok {
		t.Error("an open that was refused still has its handle")
	}
	if !next.Retrying(12, a) || next.Retrying(11, a) {
		t.Error("it is thread 12 alone that comes again")
	}
	next.Left(func(p Pending) bool { t.Errorf("told twice: %v", p); return false })
}

// A note is not overwritten while other slots are free: its answer may be on
// its way.
func TestNotesStayForAsLongAsTheyCan(t *testing.T) {
	n, _ := newTable(t)
	n.End(n.Begin(Pending{Unique: 2}))
	for i := uint64(1); i < maxPending; i++ {
		if n.Begin(Pending{Unique: 2 + 2*i}) < 0 {
			t.Fatalf("no slot for request %d", i)
		}
	}
	found := false
	n.Left(func(p Pending) bool { found = found || p.Unique == 2; return false })
	if !found {
		t.Error("the first note was overwritten although there was room")
	}
	n.Begin(Pending{Unique: 1})
	if slot := n.Begin(Pending{Unique: 3}); slot >= 0 {
		t.Errorf("a request beyond all slots got slot %d", slot)
	}
}
