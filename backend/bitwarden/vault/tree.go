package vault

import (
	"cmp"
	"fmt"
	"net/url"
	"slices"

	"github.com/secretfs/secretfs/backend"
)

// The places of a vault that directories show, besides those of one folder,
// collection or organization: the whole, and what is at its top.
const (
	top            = ""
	allItems       = "items"
	allFolders     = "folders"
	allCollections = "collections"
)

// Places are the kinds of place that a directory can be.
var Places = []string{"folder", "collection", "organization"}

// PlaceKey names a place: one of Places by name or id.
func PlaceKey(kind, name string) string { return kind + "=" + url.QueryEscape(name) }

// Entries lists what is in a place. An item stands for what it gives where no
// field is named.
func (v *Vault) Entries(place string) ([]backend.Item, error) {
	switch place {
	case top:
		return []backend.Item{dir(allCollections), dir(allFolders), dir(allItems)}, nil
	case allFolders:
		return v.listGroups("folder", v.folders), nil
	case allCollections:
		return v.listGroups("collection", v.collections), nil
	case allItems:
		return v.listItems(&Ref{}), nil
	}
	q, err := url.ParseQuery(place)
	if err != nil {
		return nil, fmt.Errorf("the vault has nothing at %q: %w", place, backend.ErrNotFound)
	}
	r := Ref{Folder: q.Get("folder"), Collection: q.Get("collection"), Organization: q.Get("organization")}
	if r == (Ref{}) {
		return nil, fmt.Errorf("the vault has nothing at %q: %w", place, backend.ErrNotFound)
	}
	if err := v.checkPlaces(&r); err != nil {
		return nil, err
	}
	return v.listItems(&r), nil
}

func dir(name string) backend.Item { return backend.Item{Name: name, Key: name, Dir: true} }

func (v *Vault) listGroups(kind string, groups []group) (list []backend.Item) {
	for i := range groups {
		if g := &groups[i]; g.name != (span{}) && g.ID != "" {
			list = append(list, backend.Item{Name: string(v.clear(g.name)), Key: PlaceKey(kind, g.ID), Dir: true, ID: g.ID})
		}
	}
	return list
}

// listItems are the items that fit r. Those that give nothing without the name of
// a field, as identities, are left out.
func (v *Vault) listItems(r *Ref) (list []backend.Item) {
	for i := range v.items {
		it := &v.items[i]
		if it.name != (span{}) && !it.trashed && mainFields[it.kind] != "" && v.fits(it, r) {
			list = append(list, backend.Item{Name: string(v.clear(it.name)), Key: Ref{Item: it.id}.String(), ID: it.id})
		}
	}
	return list
}

// Keys are those of all items, by id.
func (v *Vault) Keys() []backend.Entry {
	var list []backend.Entry
	for _, it := range v.listItems(&Ref{}) {
		list = append(list, backend.Entry{Name: it.Key})
	}
	slices.SortFunc(list, func(a, b backend.Entry) int { return cmp.Compare(a.Name, b.Name) })
	return list
}

// LookKey finds what the key of a Ref means.
func (v *Vault) LookKey(key string) (*Place, error) {
	r, err := ParseRef(key)
	if err != nil {
		return nil, err
	}
	return v.Look(r)
}
