package policy

import (
	"maps"
	"slices"
)

// takeNull lets every property that is not required be null, everywhere in a
// schema: the parser takes that for not given, and generators write it.
func takeNull(schema any) {
	switch s := schema.(type) {
	case []any:
		for _, inner := range s {
			takeNull(inner)
		}
	case map[string]any:
		properties, _ := s["properties"].(map[string]any)
		required, _ := s["required"].([]any)
		for name, p := range properties {
			if !slices.Contains(required, any(name)) {
				addNull(p)
			}
		}
		for inner := range maps.Values(s) {
			takeNull(inner)
		}
	}
}

// addNull has a schema accept null beside what it accepts.
func addNull(schema any) {
	s, ok := schema.(map[string]any)
	if !ok {
		return // true or false
	}
	null := map[string]any{"type": "null"}
	if ref, ok := s["$ref"]; ok {
		delete(s, "$ref")
		s["anyOf"] = []any{map[string]any{"$ref": ref}, null}
		return
	}
	if one, ok := s["const"]; ok {
		delete(s, "const")
		s["enum"] = []any{one}
	}
	for _, key := range []string{"anyOf", "oneOf"} {
		if cases, ok := s[key].([]any); ok {
			s[key] = append(cases, null)
		}
	}
	if values, ok := s["enum"].([]any); ok {
		s["enum"] = append(values, nil)
	}
	switch t := s["type"].(type) {
	case string:
		s["type"] = []any{t, "null"}
	case []any:
		if !slices.Contains(t, any("null")) {
			s["type"] = append(t, "null")
		}
	}
}
