package bws

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"github.com/secretfs/secretfs/backend"
	"github.com/secretfs/secretfs/backend/bitwarden/enc"
	"github.com/secretfs/secretfs/backend/secret"
)

// A vault is everything that the machine account may read, as ciphertext. It does
// not change once made.
type vault struct {
	account string
	key     *enc.Key
	items   map[string]*item   // id -> secret
	named   map[string][]*item // name -> those that have it, by id
	tree    map[string]folder  // file name -> project
}

// An item is one secret.
type item struct {
	wire     wireSecret
	name     string
	project  project
	versions versions
}

// A project without id stands for none.
type project struct{ id, name string }

// versions are those of the fields of one secret.
type versions struct{ Value, Note, Name backend.Version }

// newVault takes what the server has. Where the plaintext of a field is as in old,
// its version stays: nobody is told when only the note was edited.
func newVault(s *session, all []wireSecret, old *vault) *vault {
	v := &vault{account: s.account, key: s.key.Share(), items: make(map[string]*item, len(all)), named: map[string][]*item{}}
	projects := map[string]string{} // id -> name
	for _, w := range all {
		w.ID = strings.ToLower(w.ID)
		it := &item{wire: w, name: v.text(w.Key)}
		if len(w.Projects) > 0 { // it is never more than one
			p := w.Projects[0]
			if _, known := projects[p.ID]; !known {
				projects[p.ID] = v.text(p.Name)
			}
			it.project = project{strings.ToLower(p.ID), projects[p.ID]}
		}
		it.versions = v.versions(it, old)
		v.items[w.ID] = it
	}
	v.index()
	return v
}

// index finds the secrets by name.
func (v *vault) index() {
	for _, it := range v.items {
		v.named[it.name] = append(v.named[it.name], it)
	}
	for _, its := range v.named {
		slices.SortFunc(its, func(a, b *item) int { return strings.Compare(a.wire.ID, b.wire.ID) })
	}
	v.tree = grow(v.items)
}

// text decrypts a name; "" if that does not work, when the id is left to go by.
func (v *vault) text(sealed string) string {
	plain, err := v.open(sealed)
	if err != nil {
		return ""
	}
	defer plain.Destroy()
	return string(plain.Bytes())
}

func (v *vault) open(sealed string) (*secret.Value, error) {
	s, err := enc.Parse(sealed)
	if err != nil {
		return nil, err
	}
	return v.key.Open(s)
}

func (v *vault) versions(it *item, old *vault) versions {
	now := versions{version(it.wire.ID, it.wire.Value), version(it.wire.ID, it.wire.Note), version(it.wire.ID, it.wire.Key)}
	if old == nil || old.items[it.wire.ID] == nil {
		return now
	}
	was := old.items[it.wire.ID]
	keep := func(now *backend.Version, before backend.Version, sealed, sealedBefore string) {
		if sealed == sealedBefore || v.alike(old, sealed, sealedBefore) {
			*now = before
		}
	}
	keep(&now.Value, was.versions.Value, it.wire.Value, was.wire.Value)
	keep(&now.Note, was.versions.Note, it.wire.Note, was.wire.Note)
	keep(&now.Name, was.versions.Name, it.wire.Key, was.wire.Key)
	return now
}

// alike compares plaintexts.
func (v *vault) alike(old *vault, sealed, sealedBefore string) bool {
	a, err := v.open(sealed)
	if err != nil {
		return false
	}
	defer a.Destroy()
	b, err := old.open(sealedBefore)
	if err != nil {
		return false
	}
	defer b.Destroy()
	return a.Equal(b)
}

// version is a digest of ciphertext, which is another one at each encryption.
func version(id, sealed string) backend.Version {
	sum := sha256.Sum256([]byte(id + "\n" + sealed))
	return backend.Version(hex.EncodeToString(sum[:8]))
}

// field is one of the texts of a secret and its version.
func (it *item) field(name string) (sealed string, v backend.Version, ok bool) {
	switch name {
	case fieldValue:
		return it.wire.Value, it.versions.Value, true
	case fieldNote:
		return it.wire.Note, it.versions.Note, true
	case fieldName:
		return it.wire.Key, it.versions.Name, true
	}
	return "", "", false
}

// find is the secret that r means.
func (v *vault) find(r ref) (*item, error) {
	if r.id != "" {
		if it := v.items[r.id]; it != nil {
			return it, nil
		}
		return nil, fmt.Errorf("no secret with id %s that the machine account may read: %w", r.id, backend.ErrNotFound)
	}
	var found []*item
	for _, it := range v.named[r.name] {
		if r.project == "" || it.project.name == r.project || it.project.id == strings.ToLower(r.project) {
			found = append(found, it)
		}
	}
	switch len(found) {
	case 1:
		return found[0], nil
	case 0:
		return nil, fmt.Errorf("no secret %s that the machine account may read: %w", r, backend.ErrNotFound)
	}
	return nil, fmt.Errorf("%d secrets are called %s: name one by id: %s: %w", len(found), r, candidates(found), backend.ErrUnsupported)
}

// String is how people call a secret that is meant by name.
func (r ref) String() string {
	if r.project == "" {
		return fmt.Sprintf("%q", r.name)
	}
	return fmt.Sprintf("%q in project %q", r.name, r.project)
}

func candidates(its []*item) string {
	const most = 5
	var b strings.Builder
	for i, it := range its {
		if i == most {
			b.WriteString(", …")
			break
		}
		if i > 0 {
			b.WriteString(", ")
		}
		fmt.Fprintf(&b, "%s (project %q)", it.wire.ID, it.project.name)
	}
	return b.String()
}

// same says that nothing that is served differs.
func (v *vault) same(o *vault) bool {
	if v == o {
		return true
	}
	if o == nil || len(v.items) != len(o.items) {
		return false
	}
	for id, it := range v.items {
		was := o.items[id]
		if was == nil || was.versions != it.versions || was.project != it.project {
			return false
		}
	}
	return true
}

// identical says that o has the same ciphertext under the same key.
func (v *vault) identical(o *vault) bool {
	if o == nil || !v.same(o) || v.account != o.account || !v.key.Encoded().Equal(o.key.Encoded()) {
		return false
	}
	for id, it := range v.items {
		if was := o.items[id].wire; was.Value != it.wire.Value || was.Note != it.wire.Note || was.Key != it.wire.Key {
			return false
		}
	}
	return true
}

func (v *vault) destroy() {
	if v != nil {
		v.key.Destroy()
	}
}
