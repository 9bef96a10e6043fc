package credentials

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/secretfs/secretfs/backend"
	"github.com/secretfs/secretfs/backend/credential"
	"github.com/secretfs/secretfs/backend/secret"
)

// An Asked is what somebody has typed for one backend, and what was asked for in
// vain. It lies in locked memory, and is kept for the next process at each
// change. Its methods are safe for concurrent use.
type Asked struct {
	backend string
	save    func(backend.Legacy)

	mu     sync.Mutex
	held   map[string]*secret.Value // by field
	wanted []credential.Source
}

// A keptField is what is kept of one field beside its value.
type keptField struct {
	Field string `json:"field"`
	Len   int    `json:"len"`
}

// NewAsked takes over what an earlier process was told about the backend named.
func NewAsked(name string, slot backend.Slot) *Asked {
	a := &Asked{backend: name, save: slot.Save, held: map[string]*secret.Value{}}
	var fields []keptField
	if json.Unmarshal(slot.Saved.Rest, &fields) != nil {
		return a
	}
	at := slot.Saved.Keys.Bytes()
	if total(fields) != len(at) {
		return a // the two parts do not belong together
	}
	for _, f := range fields {
		if v, err := copied(at[:f.Len]); err == nil {
			a.held[f.Field] = v
		}
		at = at[f.Len:]
	}
	return a
}

// total is the length of all fields in bytes, -1 if it is none.
func total(fields []keptField) (sum int) {
	for _, f := range fields {
		if f.Len < 0 || f.Len > MaxLen {
			return -1
		}
		sum += f.Len
	}
	return sum
}

// Get gives what was typed for s. Where nothing was, it notes that it was wanted.
// The caller destroys the Value.
func (a *Asked) Get(s credential.Source) (*secret.Value, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if v := a.held[s.Field]; v != nil {
		return v.Share(), nil
	}
	if !slices.ContainsFunc(a.wanted, func(w credential.Source) bool { return w.Field == s.Field }) {
		a.wanted = append(a.wanted, s)
	}
	return nil, fmt.Errorf("run secretfs unlock %s: %w", a.backend, backend.ErrLocked)
}

// Give takes what was typed, in place of what was.
func (a *Asked) Give(field string, v *secret.Value) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.held[field].Destroy()
	a.held[field] = v
	a.keep()
}

// Forget drops what was typed for fields, all of it where none are named.
func (a *Asked) Forget(fields ...string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for field, v := range a.held {
		if len(fields) == 0 || slices.Contains(fields, field) {
			v.Destroy()
			delete(a.held, field)
		}
	}
	a.keep()
}

// Close wipes everything here, and leaves what is kept for the next process to
// whoever has taken this one's place.
func (a *Asked) Close() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.save = nil
	for field, v := range a.held {
		v.Destroy()
		delete(a.held, field)
	}
}

// Missing are those of sources that nobody has typed.
func (a *Asked) Missing(sources []credential.Source) (missing []credential.Source) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, s := range sources {
		if a.held[s.Field] == nil {
			missing = append(missing, s)
		}
	}
	return missing
}

// Wanted is what was asked for in vain since it was called last, and is in vain
// still.
func (a *Asked) Wanted() []credential.Source {
	a.mu.Lock()
	wanted := a.wanted
	a.wanted = nil
	a.mu.Unlock()
	return a.Missing(wanted)
}

// keep is called with mu held. It is done when it returns: what was typed just
// before this process is killed is there for the next.
func (a *Asked) keep() {
	if a.save == nil {
		return
	}
	fields := make([]keptField, 0, len(a.held))
	for _, field := range slices.Sorted(maps.Keys(a.held)) {
		fields = append(fields, keptField{field, a.held[field].Len()})
	}
	all, err := secret.New(total(fields))
	if err != nil {
		return // the next process asks
	}
	at := 0
	for _, f := range fields {
		at += copy(all.Bytes()[at:], a.held[f.Field].Bytes())
	}
	rest, err := json.Marshal(fields)
	if err != nil {
		all.Destroy()
		return
	}
	a.save(backend.Legacy{Keys: all, Rest: rest})
}
