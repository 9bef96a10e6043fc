package bitwarden

import (
	"strings"

	"github.com/secretfs/secretfs/backend"
	"github.com/secretfs/secretfs/backend/bitwarden/vault"
	"github.com/secretfs/secretfs/policy/conf"
)

// SecretKeys are the keys that a secret in a bitwarden backend may have. The last
// two are those of sopsWarden, for item and kind.
var SecretKeys = []string{
	"item", "field", "user", "folder", "collection", "organization", "kind", "uri", "attachment", "name", "type",
}

// Reference is the key of a secret in `secrets:`: `item`, by default the path of
// the secret, and what singles it out. With sopsWarden's `name` it is looked for
// as rbw does.
func Reference(f conf.Fields, path string, _ any) string {
	if f.Get("key") != nil {
		f.Addf("key", "a vault has items: name one with item, and what of it with field")
	}
	text := func(key string) string { return strings.Clone(f.Text(key, "")) }
	r := vault.Ref{
		Item: path, Field: text("field"), User: text("user"), Folder: text("folder"), Collection: text("collection"),
		Organization: text("organization"), URI: text("uri"), Attachment: text("attachment"),
	}
	itemKey, kindKey := "item", "kind"
	if f.Get("name") != nil {
		r.Loose = true
		itemKey = "name"
		if f.Get("item") != nil {
			f.Addf("name", "is sopsWarden's word for item; give one of them")
		}
	}
	if f.Get("type") != nil {
		kindKey = "type"
		if f.Get("kind") != nil {
			f.Addf("type", "is sopsWarden's word for kind; give one of them")
		}
	}
	if f.Get(itemKey) != nil {
		r.Item = strings.Clone(f.Required(itemKey))
	}
	r.Kind = f.OneOf(kindKey, "", vault.Kinds...)
	if r.Attachment != "" && r.Field != "" {
		f.Addf("field", "has no meaning together with attachment")
	}
	return r.String()
}

// DirectoryKeys are the keys that a directory in a bitwarden backend may have.
var DirectoryKeys = vault.Places

// Directory is the key of a directory in `directories:`: the items of a folder,
// collection or organization, or the whole vault.
func Directory(f conf.Fields, _ any) string {
	place := ""
	for _, kind := range vault.Places {
		name := f.Text(kind, "")
		if name == "" {
			continue
		}
		if place != "" {
			f.Addf(kind, "a directory shows one place: give one of %s", strings.Join(vault.Places, ", "))
		}
		place = vault.PlaceKey(kind, name)
	}
	return backend.DirKey(place)
}
