package audit

import "sync"

// A group lets appends that come while a write(2) is under way share the next
// one: one of those waiting writes the lines of all. A record alone is written
// at once, as without it.
type group struct {
	mu      sync.Mutex
	waiting []*entry
	writing bool // somebody is about to take what waits
}

// groupMost bounds how much one write(2) takes, and so how long it is.
const groupMost = 64

// An entry is one record on its way into the file.
type entry struct {
	r   *Record
	err error // why it is not there, once its owner was told
	// turn has room for one, so that whoever writes never waits here.
	turn chan turn
}

type turn bool

const (
	told  turn = false // the entry was dealt with
	leads turn = true  // its owner is to write what waits, its own entry too
)

var entries = sync.Pool{New: func() any { return &entry{turn: make(chan turn, 1)} }}

// join lines e up. It returns leads if the caller is to take what waits,
// else when e has been dealt with.
func (g *group) join(e *entry) turn {
	g.mu.Lock()
	g.waiting = append(g.waiting, e)
	first := !g.writing
	g.writing = true
	g.mu.Unlock()
	if first {
		return leads
	}
	return <-e.turn
}

// take removes the oldest of what waits, in order.
func (g *group) take(batch []*entry) []*entry {
	g.mu.Lock()
	defer g.mu.Unlock()
	n := min(len(g.waiting), groupMost)
	batch = append(batch, g.waiting[:n]...)
	g.waiting = append(g.waiting[:0], g.waiting[n:]...)
	return batch
}

// pass has the oldest entry's owner write next, before those of the batch, which
// is dealt with, are told: it is the one that others wait for.
func (g *group) pass(batch []*entry, own *entry) {
	g.mu.Lock()
	if g.writing = len(g.waiting) > 0; g.writing {
		g.waiting[0].turn <- leads
	}
	g.mu.Unlock()
	for _, e := range batch {
		if e != own {
			e.turn <- told
		}
	}
}
