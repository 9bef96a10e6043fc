package vault

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"github.com/secretfs/secretfs/backend"
)

// maxCandidates is how many items an error lists.
const maxCandidates = 8

// find gives the only item that r means. notice, if not empty, is for the log.
func (v *Vault) find(r *Ref) (it *item, notice string, err error) {
	if err := v.checkPlaces(r); err != nil {
		return nil, "", err
	}
	if it := v.byID(r); it != nil {
		return it, "", v.usable(it)
	}
	found := v.matching(r, func(name []byte) bool { return bytes.EqualFold(name, []byte(r.Item)) })
	if len(found) > 1 { // those that are written the same, if others differ in case
		exact := slices.DeleteFunc(slices.Clone(found), func(it *item) bool { return string(v.clear(it.name)) != r.Item })
		if len(exact) > 0 {
			found = exact
		}
	}
	if len(found) == 0 && r.Loose {
		lower := bytes.ToLower([]byte(r.Item))
		found = v.matching(r, func(name []byte) bool { return bytes.Contains(bytes.ToLower(name), lower) })
		if len(found) == 1 {
			notice = "no item has this name; the only one that contains it is taken"
		}
	}
	switch len(found) {
	case 0:
		return nil, "", v.none(r)
	case 1:
		return found[0], notice, v.usable(found[0])
	}
	return nil, "", v.ambiguous(r, found)
}

func (v *Vault) byID(r *Ref) *item {
	for i := range v.items {
		if it := &v.items[i]; strings.EqualFold(it.id, r.Item) && v.fits(it, r) {
			return it
		}
	}
	return nil
}

// usable says why an item that is there cannot be read.
func (v *Vault) usable(it *item) error {
	switch {
	case it.trashed:
		return fmt.Errorf("item %s is in the trash: %w", it.id, backend.ErrNotFound)
	case it.foreign:
		return fmt.Errorf("item %s is stored in a format that is newer than this program: %w", it.id, backend.ErrUnsupported)
	}
	return nil
}

// matching are the items whose name passes, of those that fit.
func (v *Vault) matching(r *Ref, passes func(name []byte) bool) (found []*item) {
	for i := range v.items {
		it := &v.items[i]
		if !it.trashed && it.name != (span{}) && passes(v.clear(it.name)) && v.fits(it, r) {
			found = append(found, it)
		}
	}
	return found
}

// fits says whether an item is where, and what, r says. What takes decryption
// comes last.
func (v *Vault) fits(it *item, r *Ref) bool {
	switch {
	case r.Kind != "" && kindName(it.kind) != r.Kind:
	case r.Organization != "" && !v.inOrganization(it, r.Organization):
	case r.Folder != "" && !v.inGroup(v.folders, []string{it.folder}, r.Folder):
	case r.Collection != "" && !v.inGroup(v.collections, it.collections, r.Collection):
	case (r.User != "" || r.URI != "") && !v.isFor(it, r):
	default:
		return true
	}
	return false
}

func (v *Vault) inOrganization(it *item, wanted string) bool {
	o := v.orgs[strings.ToLower(it.org)]
	return it.org != "" && (strings.EqualFold(it.org, wanted) || o != nil && strings.EqualFold(o.name, wanted))
}

// inGroup says whether one of ids is that of a group called wanted.
func (v *Vault) inGroup(groups []group, ids []string, wanted string) bool {
	for i := range groups {
		if g := &groups[i]; v.same(g.name, g.ID, wanted) && slices.Contains(ids, g.ID) {
			return true
		}
	}
	return false
}

// checkPlaces says which place in r is not there at all.
func (v *Vault) checkPlaces(r *Ref) error {
	for _, p := range []struct {
		what, wanted string
		groups       []group
	}{{"folder", r.Folder, v.folders}, {"collection", r.Collection, v.collections}} {
		if p.wanted == "" || slices.ContainsFunc(p.groups, func(g group) bool { return v.same(g.name, g.ID, p.wanted) }) {
			continue
		}
		return fmt.Errorf("the vault has no %s %q: %w", p.what, p.wanted, backend.ErrNotFound)
	}
	for id, o := range v.orgs {
		if strings.EqualFold(id, r.Organization) || strings.EqualFold(o.name, r.Organization) {
			return nil
		}
	}
	if r.Organization != "" {
		return fmt.Errorf("the account is in no organization %q: %w", r.Organization, backend.ErrNotFound)
	}
	return nil
}

// none is the error where no item fits.
func (v *Vault) none(r *Ref) error {
	others, trashed, unread := 0, 0, 0
	for i := range v.items {
		it := &v.items[i]
		switch {
		case it.name == (span{}):
			unread++
		case !bytes.EqualFold(v.clear(it.name), []byte(r.Item)):
		case it.trashed:
			trashed++
		default:
			others++
		}
	}
	s := fmt.Sprintf("no item %q", r.Item)
	switch {
	case others > 0:
		s += fmt.Sprintf(" with what else the policy says of it (%d have that name)", others)
	case trashed > 0:
		s += ": it is in the trash"
	case unread > 0:
		s += fmt.Sprintf(" among those whose name can be read (%d cannot)", unread)
	}
	return fmt.Errorf("%s: %w", s, backend.ErrNotFound)
}

// ambiguous lists what r could mean, by what is no secret.
func (v *Vault) ambiguous(r *Ref, found []*item) error {
	list := make([]string, 0, maxCandidates+1)
	for i, it := range found {
		if i == maxCandidates {
			list = append(list, fmt.Sprintf("%d more", len(found)-i))
			break
		}
		list = append(list, v.describe(it))
	}
	return fmt.Errorf("%d items are called %q: %s; single one out with item: ID, or with user, folder, collection, organization, kind or uri: %w",
		len(found), r.Item, strings.Join(list, ", "), backend.ErrUnsupported)
}

func (v *Vault) describe(it *item) string {
	s := it.id + " (" + kindName(it.kind)
	for i := range v.folders {
		if v.folders[i].ID == it.folder {
			s += fmt.Sprintf(", folder %q", v.clear(v.folders[i].name))
		}
	}
	if o := v.orgs[strings.ToLower(it.org)]; o != nil {
		s += fmt.Sprintf(", organization %q", o.name)
	}
	return s + ")"
}
