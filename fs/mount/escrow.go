package mount

import (
	"errors"
	"maps"
	"os"
	"sync"
)

// An escrow is a worker's own copy of what the holder keeps for the next
// worker. Should the holder die, this one goes on by it, and gives it to the
// next holder.
type escrow struct {
	mu        sync.Mutex
	backings  map[int32]bool
	snapshots map[int32]*os.File // nil: known, and not yet fetched
	kept      map[string]*os.File
	lowest    int32 // snapshot ids count down from here
}

func newEscrow() *escrow {
	return &escrow{
		backings: make(map[int32]bool), snapshots: make(map[int32]*os.File), kept: make(map[string]*os.File),
	}
}

// know notes ids of objects that the holder has.
func (e *escrow) know(ids ...int32) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, id := range ids {
		if id > 0 {
			e.backings[id] = true
		} else if _, ok := e.snapshots[id]; !ok {
			e.snapshots[id] = nil
		}
		e.lowest = min(e.lowest, id)
	}
}

// missing lists the snapshots that are known and not here.
func (e *escrow) missing() (ids []int32) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for id, f := range e.snapshots {
		if f == nil {
			ids = append(ids, id)
		}
	}
	return ids
}

// put copies a known snapshot. One that was dropped meanwhile stays dropped.
func (e *escrow) put(id int32, f *os.File) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if old, ok := e.snapshots[id]; ok && old == nil {
		e.snapshots[id] = duplicate(f)
	}
}

// adopt gives a snapshot an id that the dead holder can no longer give.
func (e *escrow) adopt(f *os.File) (int32, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	c := duplicate(f)
	if c == nil {
		return 0, ErrNoHolder
	}
	e.lowest--
	e.snapshots[e.lowest] = c
	return e.lowest, nil
}

func (e *escrow) snapshot(id int32) *os.File {
	e.mu.Lock()
	defer e.mu.Unlock()
	return duplicate(e.snapshots[id])
}

// drop forgets objects. While no holder is there backing files cannot be
// dropped, so that the next one has to know of them.
func (e *escrow) drop(ids []int32, err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, id := range ids {
		if !errors.Is(err, ErrNoHolder) {
			delete(e.backings, id)
		}
		if f := e.snapshots[id]; f != nil {
			f.Close()
		}
		delete(e.snapshots, id)
	}
}

// keep holds a copy of f under name; nil holds nothing.
func (e *escrow) keep(name string, f *os.File) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if old := e.kept[name]; old != nil {
		old.Close()
		delete(e.kept, name)
	}
	if f != nil {
		e.kept[name] = duplicate(f)
	}
}

func (e *escrow) keptFile(name string) *os.File {
	e.mu.Lock()
	defer e.mu.Unlock()
	return duplicate(e.kept[name])
}

// contents are copies of all files, by the names that a state gives them, and
// the ids of backing files.
func (e *escrow) contents() (files map[string]*os.File, backings map[int32]bool, lowest int32) {
	e.mu.Lock()
	defer e.mu.Unlock()
	files = make(map[string]*os.File)
	for name, f := range e.kept {
		files[prefixKept+name] = duplicate(f)
	}
	for id, f := range e.snapshots {
		files[snapName(id)] = duplicate(f)
	}
	return files, maps.Clone(e.backings), e.lowest
}

// duplicate returns nil where there is nothing or no descriptor to be had.
func duplicate(f *os.File) *os.File {
	if f == nil {
		return nil
	}
	copies, err := dupAll([]*os.File{f})
	if err != nil {
		return nil
	}
	return copies[0]
}
