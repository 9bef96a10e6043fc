package vault

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/secretfs/secretfs/backend"
	"github.com/secretfs/secretfs/backend/secret"
)

// pick gives what r wants of the fields of a secret.
func pick(fields object, r reference) (*secret.Value, error) {
	if r.Field == "" {
		return whole(fields, r.Format)
	}
	raw, ok := fields[r.Field]
	if !ok {
		return nil, backend.Alone(fmt.Errorf("it has no field %q, it has %s: %w", r.Field, names(fields), backend.ErrNotFound))
	}
	return text(raw)
}

// text is what a field says: a string without its quotes, a list of strings (as
// the chain of a certificate is) one a line, null as nothing, and all else as JSON.
func text(raw json.RawMessage) (*secret.Value, error) {
	raw = bytes.TrimSpace(raw)
	switch {
	case len(raw) > 0 && raw[0] == '"':
		return unquote(raw)
	case len(raw) > 0 && raw[0] == '[':
		var list []json.RawMessage
		if json.Unmarshal(raw, &list) == nil && len(list) > 0 && isStrings(list) {
			return lines(list)
		}
	case string(raw) == "null":
		return secret.New(0)
	}
	return copyOf(raw)
}

func isStrings(list []json.RawMessage) bool {
	return !slices.ContainsFunc(list, func(raw json.RawMessage) bool { return raw[0] != '"' })
}

func lines(list []json.RawMessage) (*secret.Value, error) {
	var b buffer
	defer b.wipe()
	for _, raw := range list {
		v, err := unquote(raw)
		secret.Wipe(raw)
		if err != nil {
			return nil, err
		}
		b.add(bytes.TrimSuffix(v.Bytes(), []byte("\n")))
		b.add([]byte("\n"))
		v.Destroy()
	}
	return copyOf(b.bytes)
}

// A buffer grows without leaving copies behind.
type buffer struct{ bytes []byte }

func (b *buffer) add(p []byte) {
	if len(b.bytes)+len(p) > cap(b.bytes) {
		bigger := make([]byte, len(b.bytes), 2*(len(b.bytes)+len(p)))
		copy(bigger, b.bytes)
		b.wipe()
		b.bytes = bigger
	}
	b.bytes = append(b.bytes, p...)
}

func (b *buffer) wipe() { secret.Wipe(b.bytes) }

// whole writes all fields, sorted by name.
func whole(fields object, format string) (*secret.Value, error) {
	var b buffer
	defer b.wipe()
	if format == formatDotenv {
		if err := dotenv(&b, fields); err != nil {
			return nil, err
		}
		return copyOf(b.bytes)
	}
	b.add([]byte("{"))
	for i, name := range slices.Sorted(maps.Keys(fields)) {
		if i > 0 {
			b.add([]byte(","))
		}
		quoted, err := json.Marshal(name)
		if err != nil {
			return nil, err
		}
		b.add(quoted)
		b.add([]byte(":"))
		b.add(fields[name])
	}
	b.add([]byte("}\n"))
	return copyOf(b.bytes)
}

// dotenv writes NAME="value" lines, as systemd's EnvironmentFile= and shells
// read them: in double quotes, where '\' stands before '"', '\', '$' and '`'.
func dotenv(b *buffer, fields object) error {
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		if !isVariable(name) {
			return backend.Alone(fmt.Errorf("field %q cannot be the name of a variable: take it with field, or all with format: json: %w", name, backend.ErrUnsupported))
		}
		v, err := text(fields[name])
		if err != nil {
			return err
		}
		b.add([]byte(name + `="`))
		for _, c := range v.Bytes() {
			if strings.IndexByte("\"\\$`", c) >= 0 {
				b.add([]byte{'\\'})
			}
			b.add([]byte{c})
		}
		b.add([]byte("\"\n"))
		v.Destroy()
	}
	return nil
}

func isVariable(name string) bool {
	for i, c := range []byte(name) {
		letter := c == '_' || c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z'
		if !letter && (i == 0 || c < '0' || c > '9') {
			return false
		}
	}
	return name != ""
}
