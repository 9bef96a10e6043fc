package vault

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/secretfs/secretfs/backend"
)

// A document is what is read of a sync answer at once. Of items only what they are
// found by: they stay in the answer.
type document struct {
	profile     profile
	folders     []group
	collections []group
	items       []item
}

type profile struct {
	ID, Email   string
	PrivateKey  string
	AccountKeys struct {
		Pair struct{ WrappedPrivateKey string } `json:"publicKeyEncryptionKeyPair"`
	}
	Organizations []struct {
		ID, Name, Key string
		Status        *int
	}
}

// A group is a folder or a collection.
type group struct {
	ID, Name       string
	OrganizationID string
	name           span // the name in clear
}

// An item is where one is in the answer, and what it is found by.
type item struct {
	at, end               int // its JSON object
	id, org, folder       string
	collections           []string
	kind                  int
	key, nameSealed       string // dropped once the index is made
	name                  span
	trashed, foreign, bad bool
}

// A span is a part of the arena of names.
type span struct{ from, to int }

// parse reads a sync answer. The error quotes nothing of it.
func parse(raw []byte) (*document, error) {
	d := &document{}
	dec := jsontext.NewDecoder(bytes.NewBuffer(raw), jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
	seen := false
	err := object(dec, func(name string) error {
		switch name {
		case "profile":
			return decode(dec, &d.profile)
		case "folders":
			return decode(dec, &d.folders)
		case "collections":
			return decode(dec, &d.collections)
		case "ciphers":
			seen = true
			return d.readItems(dec, raw)
		}
		return dec.SkipValue()
	})
	if err != nil || !seen {
		return nil, fmt.Errorf("it is not the content of a vault, or cut short: %w", backend.ErrCorrupt)
	}
	return d, nil
}

// object calls member for each member of an object with its name in lower case:
// servers differ in that. member reads the value.
func object(dec *jsontext.Decoder, member func(name string) error) error {
	if dec.PeekKind() != '{' {
		return errShape
	}
	if _, err := dec.ReadToken(); err != nil {
		return err
	}
	for dec.PeekKind() != '}' {
		t, err := dec.ReadToken()
		if err != nil {
			return err
		}
		if err := member(strings.ToLower(t.String())); err != nil {
			return err
		}
	}
	_, err := dec.ReadToken()
	return err
}

var errShape = fmt.Errorf("an unexpected shape: %w", backend.ErrCorrupt)

func decode(dec *jsontext.Decoder, into any) error {
	v, err := dec.ReadValue()
	if err != nil {
		return err
	}
	return json.Unmarshal(v, into)
}

func (d *document) readItems(dec *jsontext.Decoder, raw []byte) error {
	if dec.PeekKind() == 'n' {
		return dec.SkipValue()
	}
	if dec.PeekKind() != '[' {
		return errShape
	}
	if _, err := dec.ReadToken(); err != nil {
		return err
	}
	for dec.PeekKind() != ']' {
		at := int(dec.InputOffset())
		it := item{at: at + max(bytes.IndexByte(raw[at:], '{'), 0)} // behind a comma
		if err := it.read(dec); err != nil {
			return err
		}
		it.end = int(dec.InputOffset())
		d.items = append(d.items, it)
	}
	_, err := dec.ReadToken()
	return err
}

func (it *item) read(dec *jsontext.Decoder) error {
	return object(dec, func(name string) error {
		switch name {
		case "id":
			return text(dec, &it.id)
		case "organizationid":
			return text(dec, &it.org)
		case "folderid":
			return text(dec, &it.folder)
		case "key":
			return text(dec, &it.key)
		case "name":
			return text(dec, &it.nameSealed)
		case "type":
			return it.lax(dec, &it.kind)
		case "collectionids":
			return it.lax(dec, &it.collections)
		case "deleteddate":
			it.trashed = dec.PeekKind() != 'n'
		case "data":
			v, err := dec.ReadValue()
			it.foreign = bytes.Contains(v, []byte("format_version"))
			return err
		}
		return dec.SkipValue()
	})
}

// lax reads a value whose wrong shape is this item's affair alone.
func (it *item) lax(dec *jsontext.Decoder, into any) error {
	v, err := dec.ReadValue()
	if err == nil && json.Unmarshal(v, into) != nil {
		it.bad = true
	}
	return err
}

// text reads a text or null.
func text(dec *jsontext.Decoder, into *string) error {
	if dec.PeekKind() != '"' {
		return dec.SkipValue()
	}
	t, err := dec.ReadToken()
	*into = t.String()
	return err
}
