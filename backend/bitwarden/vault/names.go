package vault

import (
	"bytes"

	"github.com/secretfs/secretfs/backend/bitwarden/enc"
	"github.com/secretfs/secretfs/backend/secret"
)

// openNames decrypts all names into one piece of locked memory. What does not
// open has no name: it can be referred to by id, which says why.
func (v *Vault) openNames() error {
	most := 0 // plaintext is shorter than ciphertext
	for i := range v.items {
		most += len(v.items[i].nameSealed)
	}
	for _, groups := range [][]group{v.folders, v.collections} {
		for i := range groups {
			most += len(groups[i].Name)
		}
	}
	arena, err := secret.New(most)
	if err != nil {
		return err
	}
	a := &names{to: arena.Bytes()}
	for i := range v.items {
		v.openItemName(a, &v.items[i])
	}
	for i := range v.folders {
		v.folders[i].name, _ = a.open(v.user, v.folders[i].Name)
	}
	for i := range v.collections {
		c := &v.collections[i]
		if key, err := v.base(c.OrganizationID); err == nil {
			c.name, _ = a.open(key, c.Name)
		}
	}
	v.names = arena
	return nil
}

func (v *Vault) openItemName(a *names, it *item) {
	defer func() { it.key, it.nameSealed = "", "" }()
	if it.foreign || it.bad {
		return
	}
	base, err := v.base(it.org)
	if err != nil {
		it.bad = true
		return
	}
	key, err := keyOf(base, it.key)
	if err != nil {
		it.bad = true
		return
	}
	defer key.Destroy()
	var ok bool
	if it.name, ok = a.open(key, it.nameSealed); !ok {
		it.bad = true
	}
}

// names fills an arena.
type names struct {
	to   []byte
	used int
}

func (a *names) open(key *enc.Key, sealed string) (span, bool) {
	s, err := enc.Parse(sealed)
	if err != nil {
		return span{}, false
	}
	name, err := key.Open(s)
	if err != nil || name.Len() > len(a.to)-a.used {
		name.Destroy()
		return span{}, false
	}
	defer name.Destroy()
	at := span{a.used, a.used + name.Len()}
	a.used += copy(a.to[a.used:], name.Bytes())
	return at, true
}

// clear is a name; it is in locked memory that goes with the Vault.
func (v *Vault) clear(s span) []byte { return v.names.Bytes()[s.from:s.to] }

// same says that a name, or an id, is text, whatever the case.
func (v *Vault) same(s span, id, text string) bool {
	return bytes.EqualFold(v.clear(s), []byte(text)) || bytes.EqualFold([]byte(id), []byte(text))
}
