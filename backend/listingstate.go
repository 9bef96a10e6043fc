package backend

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/secretfs/secretfs/backend/secret"
)

// A keptListing is what is left of a place to the next process.
type keptListing struct {
	Place   string    `json:"place"`
	Fetched time.Time `json:"fetched"`
	Items   []Item    `json:"items"`
}

func (l *listing) list() []Item {
	items := make([]Item, 0, len(l.items))
	for _, e := range l.entries {
		items = append(items, l.items[e.Name])
	}
	return items
}

// state packs all listings for the next process, in locked memory: the names of
// somebody's accounts are nobody's business either.
func (l *listings) state() (Legacy, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	var all []keptListing
	for where, p := range l.places {
		if p.last != nil && !p.recalled {
			all = append(all, keptListing{where, p.last.fetched, p.last.list()})
		}
	}
	text, err := json.Marshal(all)
	if err != nil {
		return Legacy{}, fmt.Errorf("keeping listings: %w", err)
	}
	v, err := secret.From(text)
	if err != nil {
		return Legacy{}, fmt.Errorf("keeping listings: %w", err)
	}
	return Legacy{Keys: v}, nil
}

// restore takes over what another process kept.
func (l *listings) restore(saved Legacy) {
	var all []keptListing
	if saved.Keys == nil || json.Unmarshal(saved.Keys.Bytes(), &all) != nil {
		return
	}
	for _, k := range all {
		l.places[k.Place] = &place{last: newListing(k.Items, k.Fetched)}
	}
}
