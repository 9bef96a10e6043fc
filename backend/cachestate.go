package backend

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/secretfs/secretfs/backend/secret"
)

// kept is what a cache leaves of one value beside its plaintext.
type kept struct {
	Key     string    `json:"key"`
	Version Version   `json:"version"`
	Fetched time.Time `json:"fetched"`
	Len     int       `json:"len"`
}

// state packs everything for the next process: the plaintexts one after the
// other in locked memory, what they are beside it.
func (c *cache) state() (Legacy, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var index []kept
	size := 0
	for key, v := range c.values {
		if v.recalled {
			continue // the next process asks first, too
		}
		index = append(index, kept{key, v.version, v.fetched, v.value.Len()})
		size += v.value.Len()
	}
	rest, err := json.Marshal(index)
	if err != nil {
		return Legacy{}, fmt.Errorf("keeping values: %w", err)
	}
	all, err := secret.New(size)
	if err != nil {
		return Legacy{}, fmt.Errorf("keeping values: %w", err)
	}
	at := 0
	for _, k := range index {
		at += copy(all.Bytes()[at:], c.values[k.Key].value.Bytes())
	}
	return Legacy{Keys: all, Rest: rest}, nil
}

// restore takes over what another process kept. What does not fit together is
// left.
func (c *cache) restore(l Legacy) {
	var index []kept
	if l.Keys == nil || json.Unmarshal(l.Rest, &index) != nil {
		return
	}
	size := 0
	for _, k := range index {
		if k.Len < 0 {
			return
		}
		size += k.Len
	}
	if size != l.Keys.Len() {
		return
	}
	at := l.Keys.Bytes()
	for _, k := range index {
		v, err := secret.New(k.Len)
		if err != nil {
			return
		}
		copy(v.Bytes(), at[:k.Len])
		at = at[k.Len:]
		c.values[k.Key] = &cached{value: v, version: k.Version, fetched: k.Fetched, early: 1}
	}
}
