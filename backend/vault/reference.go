package vault

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/secretfs/secretfs/backend"
	"github.com/secretfs/secretfs/policy/conf"
)

// SecretKeys are the keys that a secret in a vault backend may have.
var SecretKeys = []string{"path", "field", "version", "format", "data"}

// The formats of a whole secret.
const (
	formatJSON   = "json"
	formatDotenv = "dotenv"
)

// A reference is what a key means.
type reference struct {
	Path    string // as the policy has it, mount and all
	Field   string // the one field wanted, "" for all
	Version int    // of KV version 2, 0 for the newest
	Format  string // of all fields; "" with Field
	Data    string // what is written to get it, JSON; "" for a read
}

// Reference is the key of a secret in `secrets:`. It is the path, after '#' the
// field and after '?' what else is given, with '%' before what would be taken for
// one of these.
func Reference(f conf.Fields, path string, _ any) string {
	if f.Get("key") != nil {
		f.Addf("key", "secrets of a vault are named by path and field")
	}
	r := reference{Path: f.Text("path", path), Field: f.Text("field", "")}
	r.Path = strings.TrimPrefix(strings.Trim(r.Path, "/"), "v1/")
	if wrong := checkPath(r.Path); wrong != "" {
		f.Addf("path", "%s", wrong)
	}
	r.Version = f.Count("version", 0)
	r.Format = f.OneOf("format", "", formatJSON, formatDotenv)
	r.Data = written(f)
	switch {
	case r.Field != "" && r.Format != "":
		f.Addf("format", "is of a whole secret, and field takes one value out of it; give one of the two")
	case r.Field == "" && r.Format == "":
		r.Format = formatJSON
	}
	if r.Data != "" && r.Version != 0 {
		f.Addf("version", "has no meaning together with data: what is written has no versions")
	}
	return r.String()
}

// checkPath says what is wrong with a path.
func checkPath(path string) string {
	if !strings.Contains(path, "/") {
		return "want the path of a secret with that of its engine in front, such as kv/apps/db"
	}
	for name := range strings.SplitSeq(path, "/") {
		if name == "" || name == "." || name == ".." {
			return fmt.Sprintf("%q is no path: no name in it may be empty, . or ..", path)
		}
	}
	return ""
}

// written reads `data`.
func written(f conf.Fields) string {
	n := f.Get("data")
	if n == nil {
		return ""
	}
	if n.Kind != conf.Map {
		f.Addf("data", "want a map of parameters, have %v", n.Kind)
		return ""
	}
	text, err := json.Marshal(plain(n)) // maps come out sorted
	if err != nil {
		f.Addf("data", "is no JSON: %v", err)
	}
	return string(text)
}

// plain is what n means in JSON.
func plain(n *conf.Node) any {
	switch n.Kind {
	case conf.Map:
		m := map[string]any{}
		for _, k := range n.Keys() {
			m[k.Name] = plain(n.Get(k.Name))
		}
		return m
	case conf.List:
		list := []any{}
		for i := range n.Items() {
			list = append(list, plain(&n.Items()[i]))
		}
		return list
	case conf.Bool:
		return n.Text == "true"
	case conf.Number:
		if json.Valid([]byte(n.Text)) {
			return json.Number(n.Text)
		}
		return n.Text
	case conf.Text:
		return n.Text
	}
	return nil
}

var escapes = strings.NewReplacer("%", "%25", "#", "%23", "?", "%3F")

// String is the key.
func (r reference) String() string {
	key := escapes.Replace(r.Path)
	if r.Field != "" {
		key += "#" + escapes.Replace(r.Field)
	}
	q := url.Values{}
	if r.Version != 0 {
		q.Set("version", strconv.Itoa(r.Version))
	}
	if r.Format != "" && r.Format != formatJSON {
		q.Set("format", r.Format)
	}
	if r.Data != "" {
		q.Set("data", r.Data)
	}
	if len(q) > 0 {
		key += "?" + q.Encode()
	}
	return key
}

// parse reads the key of a secret.
func parse(key string) (reference, error) {
	r, err := unspell(key)
	if err == nil {
		if wrong := checkPath(r.Path); wrong != "" {
			err = errors.New(wrong)
		}
	}
	if err != nil {
		return r, backend.Alone(fmt.Errorf("%q is no key of a vault: %w: %w", key, err, backend.ErrNotFound))
	}
	return r, nil
}

// unspell is the inverse of String.
func unspell(key string) (r reference, err error) {
	name, options, _ := strings.Cut(key, "?")
	path, field, _ := strings.Cut(name, "#")
	q, err := url.ParseQuery(options)
	for _, part := range []struct {
		to   *string
		from string
	}{{&r.Path, path}, {&r.Field, field}} {
		text, wrong := url.PathUnescape(part.from)
		*part.to, err = text, errors.Join(err, wrong)
	}
	if v := q.Get("version"); v != "" {
		n, wrong := strconv.Atoi(v)
		r.Version, err = n, errors.Join(err, wrong)
	}
	r.Format, r.Data = q.Get("format"), q.Get("data")
	if r.Field == "" && r.Format == "" {
		r.Format = formatJSON
	}
	return r, err
}

// request names what is asked of the server: it is the same for all fields of one
// answer.
func (r reference) request() string {
	return reference{Path: r.Path, Version: r.Version, Format: formatJSON, Data: r.Data}.String()
}

// names lists the fields of a secret, for errors.
func names[V any](fields map[string]V) string {
	var b bytes.Buffer
	for i, name := range slices.Sorted(maps.Keys(fields)) {
		if i == 12 {
			fmt.Fprintf(&b, " and %d more", len(fields)-i)
			break
		}
		if i > 0 {
			b.WriteString(", ")
		}
		fmt.Fprintf(&b, "%q", name)
	}
	return b.String()
}
