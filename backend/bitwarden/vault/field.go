package vault

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/secretfs/secretfs/backend"
	"github.com/secretfs/secretfs/backend/bitwarden/enc"
)

// fieldCode is the name of the current code of a login's TOTP secret.
const fieldCode = "totp"

// aliases are other names of fields, as rbw and people call them.
var aliases = map[string]string{
	"user": "username", "note": "notes", "url": "uri", "website": "uri", "code": fieldCode, "otp": fieldCode,
	"seed":            "totpsecret",
	"expirationmonth": "expmonth", "expirationyear": "expyear", "securitycode": "code", "cvv": "code",
	"fingerprint": "keyfingerprint", "cardholder": "cardholdername",
}

// plain is the name of a field without what differs by taste.
func plain(name string) string {
	return strings.ToLower(strings.NewReplacer("_", "", "-", "", " ", "").Replace(name))
}

// mainFields are what an item gives where no field is named.
var mainFields = map[int]string{1: "password", 2: "notes", 3: "number", 5: "privatekey"}

// fields are those that an item has by its kind, encrypted, by plain name.
func (c *cipher) fields() map[string]string {
	all := map[string]string{"notes": c.Notes}
	if l := c.Login; l != nil {
		all["username"], all["password"], all["totpsecret"], all[fieldCode] = l.Username, l.Password, l.TOTP, l.TOTP
		if uris := l.uris(); len(uris) > 0 {
			all["uri"] = uris[0]
		}
	}
	for _, part := range []map[string]any{c.Card, c.Identity, c.SSHKey, c.BankAccount, c.DriversLicense, c.Passport} {
		for name, value := range part {
			if s, ok := value.(string); ok {
				all[plain(name)] = s
			}
		}
	}
	maps.DeleteFunc(all, func(_, sealed string) bool { return sealed == "" })
	return all
}

// pick finds the encrypted text of the field that r names. Fields that an item
// has by its kind come before those that somebody gave it; of those the name
// must be right but for the case.
func (c *cipher) pick(it *item, key *enc.Key, r *Ref) (sealed string, code bool, err error) {
	name := r.Field
	if name == "" {
		if name = mainFields[it.kind]; name == "" {
			return "", false, fmt.Errorf("item %s (%s) has no field that is meant without a name; it has %s: %w", it.id, kindName(it.kind), c.list(), backend.ErrNotFound)
		}
	}
	own := c.fields()
	for _, n := range []string{plain(name), aliases[plain(name)]} {
		if s := own[n]; s != "" {
			return s, n == fieldCode && it.kind == 1, nil
		}
	}
	return c.custom(it, key, name)
}

// custom finds a field that somebody gave the item.
func (c *cipher) custom(it *item, key *enc.Key, name string) (sealed string, code bool, err error) {
	var found []field
	for _, f := range c.Fields {
		if clearIs(key, f.Name, func(s string) bool { return strings.EqualFold(s, name) }) {
			found = append(found, f)
		}
	}
	switch {
	case len(found) == 0:
		return "", false, fmt.Errorf("item %s (%s) has no field %q; it has %s: %w", it.id, kindName(it.kind), name, c.list(), backend.ErrNotFound)
	case len(found) > 1:
		return "", false, fmt.Errorf("item %s has %d fields %q; give them different names: %w", it.id, len(found), name, backend.ErrUnsupported)
	}
	return c.valueOf(it, found[0])
}

// linked are the fields that a custom field can stand for, by number.
var linked = map[int]string{
	100: "username", 101: "password",
	300: "cardholdername", 301: "expmonth", 302: "expyear", 303: "code", 304: "brand", 305: "number",
	400: "title", 401: "middlename", 402: "address1", 403: "address2", 404: "address3", 405: "city", 406: "state",
	407: "postalcode", 408: "country", 409: "company", 410: "email", 411: "phone", 412: "ssn", 413: "username",
	414: "passportnumber", 415: "licensenumber", 416: "firstname", 417: "lastname",
}

const linkedField = 3

func (c *cipher) valueOf(it *item, f field) (sealed string, code bool, err error) {
	sealed = f.Value
	if f.Type == linkedField {
		sealed = c.fields()[linked[f.LinkedID]]
	}
	if sealed == "" {
		return "", false, fmt.Errorf("the field of item %s is empty: %w", it.id, backend.ErrNotFound)
	}
	return sealed, false, nil
}

// list names the fields that have a value. Those that somebody gave the item are
// counted: their names are encrypted too.
func (c *cipher) list() string {
	names := slices.Sorted(maps.Keys(c.fields()))
	for i, name := range names {
		if name == "totpsecret" { // as the manual spells it
			names[i] = "totp_secret"
		}
	}
	s := strings.Join(names, ", ")
	if n := len(c.Fields); n > 0 {
		s += fmt.Sprintf(" and %d of its own", n)
	}
	if s == "" {
		return "none"
	}
	return s
}
