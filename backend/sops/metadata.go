package sops

import (
	"errors"
	"slices"
	"strings"

	"github.com/secretfs/secretfs/backend/sops/keys"
)

// metadata is the `sops` section of a file (getsops/sops, stores/stores.go).
type metadata struct {
	keys         keys.Metadata
	rules        rules
	mac          string
	lastModified string // normalized; authenticated together with mac
	onlyEnc      bool   // the MAC covers encrypted values only
}

var (
	errNoMetadata = errors.New("it has no sops section; is it encrypted?")
	errNoKeys     = errors.New("its sops section names no key")
	errRules      = errors.New("its sops section has more than one rule on what is encrypted")
)

// cutMetadata takes the sops section out of the documents.
func cutMetadata(docs []node, format Format) (*node, error) {
	if format == Dotenv {
		return cutPrefixed(&docs[0])
	}
	var found []node
	for i := range docs {
		kids := docs[i].kids[:0]
		for _, k := range docs[i].kids {
			if k.kind == kindComment || !k.named || k.name != "sops" {
				kids = append(kids, k)
			} else if i == 0 {
				found = append(found, k)
			}
		}
		docs[i].kids = kids
	}
	switch {
	case len(found) == 0:
		return nil, errNoMetadata
	case len(found) > 1 || found[0].kind != kindMap:
		return nil, errors.New("its sops section is there twice, or is no mapping")
	case format == INI:
		return unflatten(found[0].kids, "", `\n`)
	}
	return &found[0], nil
}

// cutPrefixed takes the variables of a dotenv file that make up its metadata.
func cutPrefixed(doc *node) (*node, error) {
	var found []node
	kids := doc.kids[:0]
	for _, k := range doc.kids {
		if k.kind != kindComment && strings.HasPrefix(k.name, dotenvPrefix) {
			found = append(found, k)
		} else {
			kids = append(kids, k)
		}
	}
	doc.kids = kids
	if len(found) == 0 {
		return nil, errNoMetadata
	}
	return unflatten(found, dotenvPrefix, "")
}

func parseMetadata(section *node) (*metadata, error) {
	f := fields{section: section}
	m := &metadata{
		mac:          f.text("mac"),
		lastModified: f.date("lastmodified"),
		onlyEnc:      f.flag("mac_only_encrypted"),
	}
	f.version("version")
	m.keys.Threshold = f.number("shamir_threshold")
	if err := m.setRules(&f); err != nil {
		return nil, err
	}
	if group := f.group(); len(group) > 0 {
		m.keys.Groups = []keys.Group{group}
	} else {
		for _, g := range f.list("key_groups") {
			in := fields{section: g}
			m.keys.Groups = append(m.keys.Groups, in.group())
			f.err = errors.Join(f.err, in.err)
		}
	}
	if f.err != nil {
		return nil, f.err
	}
	if len(m.keys.Groups) == 0 {
		return nil, errNoKeys
	}
	return m, nil
}

func (m *metadata) setRules(f *fields) error {
	m.rules = rules{match: suffixRule(defaultUnencryptedSuffix), clear: true}
	n := 0
	for _, r := range []struct {
		field           string
		make            func(string) func(string) bool
		comments, clear bool
	}{
		{"unencrypted_suffix", suffixRule, false, true},
		{"encrypted_suffix", suffixRule, false, false},
		{"unencrypted_regex", regexRule, false, true},
		{"encrypted_regex", regexRule, false, false},
		{"unencrypted_comment_regex", regexRule, true, true},
		{"encrypted_comment_regex", regexRule, true, false},
	} {
		if arg := f.text(r.field); arg != "" {
			m.rules = rules{match: r.make(arg), comments: r.comments, clear: r.clear}
			n++
		}
	}
	if n > 1 {
		return errRules
	}
	return nil
}

// group reads the master keys in the order in which sops keeps them.
func (f *fields) group() keys.Group {
	var g keys.Group
	for _, t := range []keys.Type{
		keys.AWSKMS, keys.GCPKMS, keys.HuaweiKMS, keys.AzureKV, keys.VaultTransit, keys.PGP, keys.Age,
	} {
		for _, n := range f.list(string(t)) {
			in := fields{section: n}
			g = append(g, in.masterKey(t))
			f.err = errors.Join(f.err, in.err)
		}
	}
	return g
}

// masterKeyFields are the entries of all kinds of master key. What else may be
// there is not looked at.
var masterKeyFields = []string{
	"enc", "created_at", "recipient", "fp", "arn", "role", "aws_profile", "resource_id", "key_id",
	"vault_url", "name", "version", "vault_address", "engine_path", "key_name",
}

func (f *fields) masterKey(t keys.Type) keys.MasterKey {
	k := keys.MasterKey{Type: t, Fields: map[string]string{}}
	for i := range f.section.kids {
		n := &f.section.kids[i]
		switch {
		case n.kind == kindComment || n.kind == kindNull:
		case n.kind == kindMap && n.name == "context":
			k.Context = map[string]string{}
			in := fields{section: n}
			for _, c := range n.kids {
				k.Context[c.name] = in.text(c.name)
			}
		case !n.container() || slices.Contains(masterKeyFields, strings.ToLower(n.name)):
			k.Fields[strings.ToLower(n.name)] = f.text(n.name)
		}
	}
	if t != keys.Age {
		f.date("created_at")
	}
	return k
}
