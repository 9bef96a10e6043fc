package backend

import (
	"encoding/json"
	"time"

	"github.com/secretfs/secretfs/backend/secret"
)

// copy packs what lies at a place. Its version follows from that.
func (l *listings) copy(where string) (Copy, bool) {
	l.mu.Lock()
	p := l.places[where]
	if p == nil || p.last == nil || p.recalled {
		l.mu.Unlock()
		return Copy{}, false
	}
	last := p.last
	l.mu.Unlock()
	v, err := packItems(last.list())
	if err != nil {
		return Copy{}, false
	}
	return Copy{Key: DirKey(where), Version: last.version(), Fetched: last.fetched, Value: v}, true
}

// current lists what is known of a place.
func (l *listings) current(where string) []Item {
	l.mu.Lock()
	defer l.mu.Unlock()
	if p := l.places[where]; p != nil && p.last != nil {
		return p.last.list()
	}
	return nil
}

// version tells two states of a place apart.
func (l *listing) version() Version {
	text, err := json.Marshal(l.list())
	if err != nil {
		return ""
	}
	return Version(digest(string(text)))
}

func packItems(items []Item) (*secret.Value, error) {
	text, err := json.Marshal(items)
	if err != nil {
		return nil, err
	}
	return secret.From(text)
}

func unpackItems(v *secret.Value) (items []Item, err error) {
	return items, json.Unmarshal(v.Bytes(), &items)
}

// recall gives a place that cannot be asked the listing that was copied, if there
// is one that may be shown.
func (c *copier) recall(where string, why error) *listing {
	if c == nil || !unreachable(why) {
		return nil
	}
	s := c.load(DirKey(where), why)
	if s == nil {
		return nil
	}
	defer s.Value.Destroy()
	items, err := unpackItems(s.Value)
	if err != nil {
		c.say("ignoring an offline copy", err)
		return nil
	}
	return newListing(items, time.Now())
}
