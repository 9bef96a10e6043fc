package bws

import (
	"encoding/hex"
	"net/url"
	"strings"
)

// The fields of a secret. What people see as its name the protocol calls key.
const (
	fieldValue = "value"
	fieldNote  = "note"
	fieldName  = "name"
)

// A ref says which field of which secret is meant: by id, or by name, in any
// project unless one is given by name or id.
type ref struct{ id, project, name, field string }

// Keys of the backend that come from `secrets:` begin with a slash, those of
// directories never do.
const (
	byID   = "id"
	byName = "name"
)

// key spells r so that equal ones have equal keys: /id/ID/FIELD or
// /name/PROJECT/NAME/FIELD, each part escaped.
func (r ref) key() string {
	parts := []string{byName, r.project, r.name, r.field}
	if r.id != "" {
		parts = []string{byID, r.id, r.field}
	}
	var b strings.Builder
	for _, p := range parts {
		b.WriteByte('/')
		b.WriteString(url.PathEscape(p))
	}
	return b.String()
}

// parseRef is the opposite of key.
func parseRef(key string) (r ref, ok bool) {
	parts := strings.Split(key, "/")
	for i, p := range parts {
		var err error
		if parts[i], err = url.PathUnescape(p); err != nil {
			return r, false
		}
	}
	switch {
	case len(parts) == 4 && parts[0] == "" && parts[1] == byID:
		return ref{id: parts[2], field: parts[3]}, true
	case len(parts) == 5 && parts[0] == "" && parts[1] == byName:
		return ref{project: parts[2], name: parts[3], field: parts[4]}, true
	}
	return r, false
}

// isUUID says whether text has the form of an id (RFC 9562, 4).
func isUUID(text string) bool {
	if len(text) != 36 || text[8] != '-' || text[13] != '-' || text[18] != '-' || text[23] != '-' {
		return false
	}
	_, err := hex.DecodeString(strings.ReplaceAll(text, "-", ""))
	return err == nil
}
