package backend

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"maps"
	"slices"
	"strings"
	"time"
)

// A listing is what lay at one place when it was last looked up. It does not
// change once made.
type listing struct {
	items   map[string]Item // by the name of the file
	entries []Entry         // by name
	fetched time.Time
}

// newListing gives each item a file of its own (the manual, NAMES). Which file
// that is follows from what lies at the place alone. That another item of its
// name comes takes the name away from both, and never gives it to the other.
func newListing(items []Item, fetched time.Time) *listing {
	items = slices.Clone(items)
	slices.SortFunc(items, func(a, b Item) int { return cmp.Or(strings.Compare(a.Key, b.Key), strings.Compare(a.Name, b.Name)) })
	items = slices.CompactFunc(items, Item.equal)
	count := make(map[called]int, len(items))
	for _, it := range items {
		count[called{it.Name, it.Dir}]++
	}
	l := &listing{items: make(map[string]Item, len(items)), fetched: fetched}
	for _, it := range items {
		name, tag := it.Name, ""
		if it.Dir && count[called{name, false}] > 0 {
			name += "/" // as sources write it that have both
		}
		if count[called{it.Name, it.Dir}] > 1 || len(escape(name)) > maxFileName {
			tag = it.tag()
		}
		file := FileName(name, tag)
		if _, taken := l.items[file]; taken {
			file = FileName(name, digest(it.Key))
		}
		l.items[file] = it
	}
	l.entries = make([]Entry, 0, len(l.items))
	for name, it := range l.items {
		l.entries = append(l.entries, Entry{Name: name, Dir: it.Dir})
	}
	slices.SortFunc(l.entries, func(a, b Entry) int { return strings.Compare(a.Name, b.Name) })
	return l
}

// maxTag leaves room for a name beside it.
const maxTag = 64

func (it Item) tag() string {
	if it.ID != "" && len(it.ID) <= maxTag {
		return it.ID
	}
	return digest(it.Key)
}

func digest(key string) string {
	sum := sha256.Sum256([]byte(key))
	return hex.EncodeToString(sum[:8])
}

func (it Item) equal(o Item) bool { return it.Key == o.Key && it.Name == o.Name && it.Dir == o.Dir }

// called is what items of one name have in common.
type called struct {
	name string
	dir  bool
}

// same says that nobody would notice if one took the place of the other.
func (l *listing) same(o *listing) bool { return o != nil && maps.Equal(l.items, o.items) }

// gone are the keys that are in old and not in l.
func (l *listing) gone(old *listing) (keys []string) {
	if old == nil {
		return nil
	}
	still := make(map[string]bool, len(l.items))
	for _, it := range l.items {
		still[it.Key] = true
	}
	for _, it := range old.items {
		if !it.Dir && !still[it.Key] {
			keys = append(keys, it.Key)
		}
	}
	return keys
}
