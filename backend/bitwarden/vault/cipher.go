package vault

import (
	"encoding/json"
	"fmt"
	"net/url"
	"strings"

	"github.com/secretfs/secretfs/backend"
	"github.com/secretfs/secretfs/backend/bitwarden/enc"
)

// A cipher is one item as the server gives it. All texts of it but ids are
// encrypted.
type cipher struct {
	Key, Name, Notes string
	Fields           []field
	Attachments      []attachment
	Login            *login
	Card, Identity   map[string]any
	SSHKey           map[string]any
	BankAccount      map[string]any
	DriversLicense   map[string]any
	Passport         map[string]any
}

type login struct {
	Username, Password, TOTP string
	URI                      string
	URIs                     []struct{ URI string }
}

type field struct {
	Type        int
	Name, Value string
	LinkedID    int
}

type attachment struct {
	ID, FileName, Key string
	Size              any
}

// read decodes one item of the answer, and opens its key, which the caller
// destroys.
func (v *Vault) read(it *item) (*cipher, *enc.Key, error) {
	c := &cipher{}
	if json.Unmarshal(v.raw[it.at:it.end], c) != nil { // whose error may quote
		return nil, nil, fmt.Errorf("item %s is not understood: %w", it.id, backend.ErrUnsupported)
	}
	base, err := v.base(it.org)
	if err != nil {
		return nil, nil, fmt.Errorf("item %s: %w", it.id, err)
	}
	key, err := keyOf(base, c.Key)
	if err != nil {
		return nil, nil, fmt.Errorf("item %s: %w", it.id, err)
	}
	return c, key, nil
}

// isFor says whether an item is a login with the user and the address of r.
func (v *Vault) isFor(it *item, r *Ref) bool {
	c, key, err := v.read(it)
	if err != nil {
		return false
	}
	defer key.Destroy()
	if c.Login == nil || r.User != "" && !clearIs(key, c.Login.Username, func(s string) bool { return strings.EqualFold(s, r.User) }) {
		return false
	}
	if r.URI == "" {
		return true
	}
	for _, u := range c.Login.uris() {
		if clearIs(key, u, func(s string) bool { return sameURI(s, r.URI) }) {
			return true
		}
	}
	return false
}

func (l *login) uris() (all []string) {
	for _, u := range l.URIs {
		all = append(all, u.URI)
	}
	if len(all) == 0 && l.URI != "" {
		all = []string{l.URI}
	}
	return all
}

// sameURI says that an item's address is wanted, or is on the host wanted.
func sameURI(have, wanted string) bool {
	if strings.EqualFold(have, wanted) {
		return true
	}
	u, err := url.Parse(have)
	return err == nil && u.Host != "" && (strings.EqualFold(u.Host, wanted) || strings.EqualFold(u.Hostname(), wanted))
}

// clearIs says whether an encrypted text, once open, is as wanted. It is for what
// people write into policies: a copy of it is on the heap for that time.
func clearIs(key *enc.Key, sealed string, wanted func(string) bool) bool {
	s, err := enc.Parse(sealed)
	if err != nil {
		return false
	}
	p, err := key.Open(s)
	if err != nil {
		return false
	}
	defer p.Destroy()
	return wanted(string(p.Bytes()))
}
