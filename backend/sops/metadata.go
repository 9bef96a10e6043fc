package sops

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

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

// fields reads a section as leniently as sops: names regardless of case,
// numbers and booleans written as text. The first error stays.
type fields struct {
	section *node
	err     error
}

func (f *fields) find(name string) *node {
	var last *node
	for i := range f.section.kids {
		if k := &f.section.kids[i]; k.kind != kindComment && k.name == name {
			last = k
		}
	}
	if last != nil {
		return last
	}
	for i := range f.section.kids {
		if k := &f.section.kids[i]; k.kind != kindComment && strings.EqualFold(k.name, name) {
			return k
		}
	}
	return nil
}

func (f *fields) fail(name, want string) {
	if f.err == nil {
		f.err = fmt.Errorf("its sops section: %q must be %s", name, want)
	}
}

func (f *fields) text(name string) string {
	n := f.find(name)
	switch {
	case n == nil || n.kind == kindNull:
		return ""
	case n.kind == kindString, n.kind == kindInt, n.kind == kindFloat:
		return n.text
	case n.kind == kindBool && n.text == boolText(true):
		return "1"
	case n.kind == kindBool:
		return "0"
	}
	f.fail(name, "text")
	return ""
}

func (f *fields) flag(name string) bool {
	text := f.text(name)
	if text == "" {
		return false
	}
	on, err := strconv.ParseBool(text)
	if err != nil {
		f.fail(name, "true or false")
	}
	return on
}

func (f *fields) number(name string) int {
	text := f.text(name)
	if text == "" {
		return 0
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		f.fail(name, "a number")
	}
	return n
}

// versionPattern is what sops takes for its own version (getsops/sops,
// version/version.go): a semantic one, or anything of the 1.x that was Python.
var versionPattern = regexp.MustCompile(`^(1\..*|v?(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)` +
	`(-(0|[1-9]\d*|\d*[A-Za-z-][\dA-Za-z-]*)(\.(0|[1-9]\d*|\d*[A-Za-z-][\dA-Za-z-]*))*)?(\+[\dA-Za-z-]+(\.[\dA-Za-z-]+)*)?)$`)

// version refuses what the program refuses: the entry stands last in most files,
// so that one whose end is missing is found out even if the MAC fits.
func (f *fields) version(name string) {
	if !versionPattern.MatchString(f.text(name)) {
		f.fail(name, "a version of sops; is the end of the file missing?")
	}
}

// date normalizes a timestamp as sops does before it authenticates with it.
func (f *fields) date(name string) string {
	t, err := time.Parse(time.RFC3339, f.text(name))
	if err != nil {
		f.fail(name, "a timestamp (RFC 3339)")
	}
	return t.Format(time.RFC3339)
}

func (f *fields) list(name string) []*node {
	n := f.find(name)
	if n == nil || n.kind == kindNull {
		return nil
	}
	if n.kind == kindMap {
		return []*node{n}
	}
	var items []*node
	for i := range n.kids {
		k := &n.kids[i]
		switch k.kind {
		case kindMap:
			items = append(items, k)
		case kindComment:
		default:
			f.fail(name, "a list of mappings")
		}
	}
	return items
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
