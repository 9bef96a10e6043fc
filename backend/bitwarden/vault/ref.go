package vault

import (
	"fmt"
	"net/url"
	"strings"

	"github.com/secretfs/secretfs/backend"
)

// A Ref says which field of which item is meant. Item is its name or id; the
// other texts single it out among items of that name.
type Ref struct {
	Item, Field                            string
	User, Folder, Collection, Organization string
	Kind, URI, Attachment                  string
	// Loose takes the only item whose name contains Item where none has that
	// name, as rbw does.
	Loose bool
}

// params are the parts of a Ref beside Item, by their names in a key.
func (r *Ref) params() map[string]*string {
	return map[string]*string{
		"field": &r.Field, "user": &r.User, "folder": &r.Folder, "collection": &r.Collection,
		"organization": &r.Organization, "kind": &r.Kind, "uri": &r.URI, "attachment": &r.Attachment,
	}
}

// refPrefix begins the keys of Refs.
const refPrefix = "item:"

var (
	escapeItem   = strings.NewReplacer("%", "%25", "?", "%3F")
	unescapeItem = strings.NewReplacer("%25", "%", "%3F", "?")
)

// String is the key of a secret: item:, the item, and the rest like a query in a
// URL. Two Refs that mean the same have the same key.
func (r Ref) String() string {
	q := url.Values{}
	for name, p := range r.params() {
		if *p != "" {
			q.Set(name, *p)
		}
	}
	if r.Loose {
		q.Set("loose", "1")
	}
	key := refPrefix + escapeItem.Replace(r.Item)
	if len(q) > 0 {
		key += "?" + q.Encode()
	}
	return key
}

// ParseRef reads what String wrote.
func ParseRef(key string) (Ref, error) {
	key, ok := strings.CutPrefix(key, refPrefix)
	item, query, _ := strings.Cut(key, "?")
	q, err := url.ParseQuery(query)
	if !ok || err != nil || item == "" {
		return Ref{}, fmt.Errorf("no item can have the key %q: %w", key, backend.ErrNotFound)
	}
	r := Ref{Item: unescapeItem.Replace(item), Loose: q.Get("loose") == "1"}
	for name, p := range r.params() {
		*p = q.Get(name)
	}
	return r, nil
}

// The kinds of item by their numbers in the protocol.
var kinds = []string{
	1: "login", 2: "note", 3: "card", 4: "identity", 5: "ssh-key",
	6: "bank-account", 7: "drivers-license", 8: "passport",
}

// Kinds are the names that Ref.Kind may have.
var Kinds = kinds[1:]

// kindName names the kind of an item.
func kindName(n int) string {
	if n > 0 && n < len(kinds) {
		return kinds[n]
	}
	return fmt.Sprintf("type %d", n)
}
