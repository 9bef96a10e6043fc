package vault

import (
	"fmt"
	"strings"

	"github.com/secretfs/secretfs/backend"
	"github.com/secretfs/secretfs/backend/bitwarden/enc"
	"github.com/secretfs/secretfs/backend/secret"
)

// A Vault is one sync answer with the keys that open it. It does not change, and
// is safe for concurrent use until Destroy.
type Vault struct {
	raw         []byte
	email       string
	user        *enc.Key
	orgs        map[string]*organization // by id
	folders     []group
	collections []group
	items       []item
	names       *secret.Value // the arena that spans point into
}

// An organization's key opens its items.
type organization struct {
	name string
	key  *enc.Key
	err  error // why there is no key
}

// Open reads a sync answer, which it keeps, and the names in it. user stays the
// caller's. The error wraps backend.ErrCorrupt.
func Open(raw []byte, user *enc.Key) (*Vault, error) {
	d, err := parse(raw)
	if err != nil {
		return nil, err
	}
	v := &Vault{
		raw: raw, email: d.profile.Email, user: user.Share(),
		folders: d.folders, collections: d.collections, items: d.items,
	}
	v.openOrganizations(&d.profile)
	if err := v.openNames(); err != nil {
		v.Destroy()
		return nil, err
	}
	return v, nil
}

// Destroy wipes keys and names.
func (v *Vault) Destroy() {
	if v == nil {
		return
	}
	v.user.Destroy()
	v.names.Destroy()
	for _, o := range v.orgs {
		o.key.Destroy()
	}
}

// Raw is the sync answer.
func (v *Vault) Raw() []byte { return v.raw }

// Email is the address of the account.
func (v *Vault) Email() string { return v.email }

// Len is the number of items.
func (v *Vault) Len() int { return len(v.items) }

// openOrganizations opens the keys of organisations with the account's private
// key, which is needed for nothing else and not kept.
func (v *Vault) openOrganizations(p *profile) {
	v.orgs = make(map[string]*organization, len(p.Organizations))
	if len(p.Organizations) == 0 {
		return
	}
	private, err := v.openPrivateKey(p)
	for _, o := range p.Organizations {
		org := &organization{name: o.Name, err: err}
		if err == nil {
			org.key, org.err = openOrganization(private, o.Key)
		}
		v.orgs[strings.ToLower(o.ID)] = org
	}
}

func (v *Vault) openPrivateKey(p *profile) (*enc.PrivateKey, error) {
	text := p.PrivateKey
	if text == "" {
		text = p.AccountKeys.Pair.WrappedPrivateKey
	}
	s, err := enc.Parse(text)
	if err != nil {
		return nil, fmt.Errorf("the account's private key: %w", err)
	}
	der, err := v.user.Open(s)
	if err != nil {
		return nil, fmt.Errorf("the account's private key: %w", err)
	}
	defer der.Destroy()
	return enc.NewPrivateKey(der)
}

func openOrganization(private *enc.PrivateKey, text string) (*enc.Key, error) {
	s, err := enc.Parse(text)
	if err != nil {
		return nil, err
	}
	return private.OpenKey(s)
}

// base is the key that opens what belongs to org, or to the account if that is "".
func (v *Vault) base(org string) (*enc.Key, error) {
	if org == "" {
		return v.user, nil
	}
	o := v.orgs[strings.ToLower(org)]
	switch {
	case o == nil:
		return nil, fmt.Errorf("its organization %s is not one of the account's: %w", org, backend.ErrLocked)
	case o.err != nil:
		return nil, fmt.Errorf("the key of organization %q: %w", o.name, o.err)
	}
	return o.key, nil
}

// keyOf is the key of an item, given that of its owner. The caller destroys it.
func keyOf(base *enc.Key, wrapped string) (*enc.Key, error) {
	if wrapped == "" {
		return base.Share(), nil
	}
	s, err := enc.Parse(wrapped)
	if err != nil {
		return nil, fmt.Errorf("its key: %w", err)
	}
	k, err := base.OpenKey(s)
	if err != nil {
		return nil, fmt.Errorf("its key: %w", err)
	}
	return k, nil
}
