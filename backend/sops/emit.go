package sops

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/secretfs/secretfs/backend"
)

// emitFile writes decrypted documents as `sops decrypt` does.
func emitFile(w *lockedWriter, format Format, docs []node) error {
	switch format {
	case YAML:
		return emitYAML(w, docs)
	case JSON:
		return emitJSON(w, &docs[0])
	case Dotenv:
		return emitDotenv(w, &docs[0])
	case INI:
		return emitINI(w, &docs[0])
	}
	return fmt.Errorf("format %q: %w", format, backend.ErrUnsupported)
}

// emitPart writes a sub-tree as `sops decrypt --extract` does. A section of an
// INI file, which sops cannot extract, is an INI file with that section.
func emitPart(w *lockedWriter, format Format, n *node) error {
	switch {
	case format == YAML && n.kind == kindMap:
		return emitYAML(w, []node{*n})
	case format == YAML:
		return emitYAMLList(w, n)
	case format == JSON && n.kind == kindMap:
		return emitJSON(w, n)
	case format == JSON:
		return jsonWriter{w}.value(n, 0)
	case format == INI:
		return emitINI(w, &node{kids: []node{*n}})
	}
	return fmt.Errorf("format %q: %w", format, backend.ErrUnsupported)
}

// plainText is how sops writes a scalar into formats that only know text.
func plainText(n *node) (string, error) {
	v, err := n.typed()
	switch v := v.(type) {
	case string:
		return v, err
	case float64:
		text := strconv.FormatFloat(v, 'G', -1, 64)
		if !strings.ContainsAny(text, ".E") {
			text = strconv.FormatFloat(v, 'f', 1, 64)
		}
		return text, err
	case time.Time:
		return v.Format(time.RFC3339), err
	}
	return fmt.Sprint(v), err
}
