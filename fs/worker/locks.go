package worker

import (
	"encoding/json"
	"maps"
	"slices"
	"sync"

	"github.com/secretfs/secretfs/backend"
)

// locks are the backends that `secretfs lock` has locked. The zero value has
// none.
type locks struct {
	mu    sync.RWMutex
	names map[string]bool
}

func (l *locks) has(name string) bool {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.names[name]
}

// set returns what is to be kept for the next worker.
func (l *locks) set(name string, locked bool) (kept []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.names == nil {
		l.names = make(map[string]bool)
	}
	if l.names[name] = true; !locked {
		delete(l.names, name)
	}
	kept, _ = json.Marshal(slices.Sorted(maps.Keys(l.names))) // texts always encode
	return kept
}

func (l *locks) restore(kept []byte) {
	var names []string
	if json.Unmarshal(kept, &names) != nil {
		return
	}
	for _, name := range names {
		l.set(name, true)
	}
}

// guard keeps keys out of a slot while the backend of that name is locked: they
// must not come back with the next worker.
func (l *locks) guard(name string, s backend.Slot) backend.Slot {
	save := s.Save
	s.Save = func(state backend.Legacy) {
		l.mu.RLock()
		defer l.mu.RUnlock()
		if l.names[name] {
			state.Keys.Destroy()
			state.Keys = nil
		}
		save(state)
	}
	return s
}
