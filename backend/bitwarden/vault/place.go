package vault

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"time"

	"github.com/secretfs/secretfs/backend"
	"github.com/secretfs/secretfs/backend/bitwarden/enc"
	"github.com/secretfs/secretfs/backend/secret"
)

// A Place is one field of one item, or an attachment, that has been found and
// not opened. Whoever has it destroys it. It stays good without the Vault.
type Place struct {
	Item string // id
	// Attachment, if not empty, is the id of one, whose content has to be
	// fetched for OpenContent.
	Attachment string
	// Notice, if not empty, is something to tell whoever wrote the policy.
	Notice string
	key    *enc.Key
	sealed string // the field, or the attachment's key
	code   bool   // the current code, and not the secret, is wanted
	digest string
}

// Look finds what r means.
func (v *Vault) Look(r Ref) (*Place, error) {
	it, notice, err := v.find(&r)
	if err != nil {
		return nil, err
	}
	return v.place(it, notice, &r)
}

// place finds the field of an item that r names.
func (v *Vault) place(it *item, notice string, r *Ref) (*Place, error) {
	c, key, err := v.read(it)
	if err != nil {
		return nil, err
	}
	p := &Place{Item: it.id, Notice: notice, key: key}
	if r.Attachment != "" {
		err = p.attach(it, c, r)
	} else {
		p.sealed, p.code, err = c.pick(it, key, r)
		p.digest = digest(it.id, c.Key, p.sealed)
	}
	if err != nil {
		key.Destroy()
		return nil, err
	}
	return p, nil
}

func (p *Place) attach(it *item, c *cipher, r *Ref) error {
	var found []attachment
	for _, a := range c.Attachments {
		if strings.EqualFold(a.ID, r.Attachment) || clearIs(p.key, a.FileName, func(s string) bool { return s == r.Attachment }) {
			found = append(found, a)
		}
	}
	switch len(found) {
	case 0:
		return fmt.Errorf("item %s has no attachment %q (it has %d): %w", it.id, r.Attachment, len(c.Attachments), backend.ErrNotFound)
	case 1:
		p.Attachment, p.sealed = found[0].ID, found[0].Key
		p.digest = digest(it.id, c.Key, found[0].ID, found[0].Key, fmt.Sprint(found[0].Size))
		return nil
	}
	return fmt.Errorf("item %s has %d attachments %q; name it by id: %w", it.id, len(found), r.Attachment, backend.ErrUnsupported)
}

// digest is of ciphertext. Clients encrypt anew whatever they save, so that what
// is no change may look like one, and never the other way round.
func digest(parts ...string) string {
	h := sha256.New()
	for _, p := range parts {
		fmt.Fprintf(h, "%d:%s", len(p), p)
	}
	return hex.EncodeToString(h.Sum(nil)[:8])
}

// Destroy wipes the item's key.
func (p *Place) Destroy() {
	if p != nil {
		p.key.Destroy()
	}
}

// Share makes a second owner of the same place.
func (p *Place) Share() *Place {
	c := *p
	c.key = p.key.Share()
	return &c
}

// Digest names the ciphertext.
func (p *Place) Digest() string { return p.digest }

// Same says whether two fields have one plaintext, which it opens for that. Of
// attachments it cannot tell.
func (p *Place) Same(o *Place) bool {
	if p.Attachment != "" || o.Attachment != "" || p.code || o.code {
		return false
	}
	a, err := p.openSealed()
	if err != nil {
		return false
	}
	defer a.Destroy()
	b, err := o.openSealed()
	if err != nil {
		return false
	}
	defer b.Destroy()
	return a.Equal(b)
}

// Changing says that the secret changes by itself.
func (p *Place) Changing() bool { return p.code }

// Version is that of the secret at a time.
func (p *Place) Version(now time.Time) (backend.Version, error) {
	if !p.code {
		return backend.Version(p.digest), nil
	}
	g, err := p.generator()
	if err != nil {
		return "", err
	}
	defer g.destroy()
	return backend.Version(fmt.Sprintf("%s-%x", p.digest, g.counter(now))), nil
}

// Open decrypts the field; of a TOTP secret it makes the code of that time.
func (p *Place) Open(now time.Time) (*secret.Value, error) {
	if !p.code {
		return p.openSealed()
	}
	g, err := p.generator()
	if err != nil {
		return nil, err
	}
	defer g.destroy()
	return g.code(now)
}

func (p *Place) openSealed() (*secret.Value, error) {
	s, err := enc.Parse(p.sealed)
	if err != nil {
		return nil, fmt.Errorf("item %s: %w", p.Item, err)
	}
	v, err := p.key.Open(s)
	if err != nil {
		return nil, fmt.Errorf("item %s: %w", p.Item, err)
	}
	return v, nil
}

func (p *Place) generator() (*generator, error) {
	v, err := p.openSealed()
	if err != nil {
		return nil, err
	}
	defer v.Destroy()
	g, err := newGenerator(v.Bytes())
	if err != nil {
		return nil, fmt.Errorf("item %s: %w", p.Item, err)
	}
	return g, nil
}

// OpenContent decrypts the content of an attachment. Very old ones have no key of
// their own.
func (p *Place) OpenContent(content []byte) (*secret.Value, error) {
	key := p.key.Share()
	if p.sealed != "" {
		key.Destroy()
		s, err := enc.Parse(p.sealed)
		if err == nil {
			key, err = p.key.OpenKey(s)
		}
		if err != nil {
			return nil, fmt.Errorf("item %s: the attachment's key: %w", p.Item, err)
		}
	}
	defer key.Destroy()
	s, err := enc.ParseBinary(content)
	if err != nil {
		return nil, fmt.Errorf("item %s: the attachment: %w", p.Item, err)
	}
	v, err := key.Open(s)
	if err != nil {
		return nil, fmt.Errorf("item %s: the attachment: %w", p.Item, err)
	}
	return v, nil
}
