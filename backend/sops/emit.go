package sops

import (
	"fmt"

	"github.com/secretfs/secretfs/backend"
)

// emitFile writes decrypted documents as `sops decrypt` does.
func emitFile(w *lockedWriter, format Format, docs []node) error {
	switch format {
	case YAML:
		return emitYAML(w, docs)
	case JSON:
		return emitJSON(w, &docs[0])
	}
	return fmt.Errorf("format %q: %w", format, backend.ErrUnsupported)
}

// emitPart writes a sub-tree as `sops decrypt --extract` does.
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
	}
	return fmt.Errorf("format %q: %w", format, backend.ErrUnsupported)
}
