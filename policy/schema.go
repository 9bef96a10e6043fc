package policy

import (
	_ "embed"
	"encoding/json"
	"fmt"
)

// baseSchema says everything but which types of backend there are.
//
//go:embed schema.json
var baseSchema []byte

// Schema returns a JSON Schema (draft 2020-12) of the policy file. drivers
// maps each type of backend to the schema of its settings: an object with
// properties that does not say additionalProperties, since the keys of every
// backend stand beside them. Under "secret" and "directory" it may have properties
// that entries of secrets and of directories in such a backend may have.
func Schema(drivers map[string]json.RawMessage) ([]byte, error) {
	var schema map[string]any
	if err := json.Unmarshal(baseSchema, &schema); err != nil {
		return nil, fmt.Errorf("reading the schema of the policy: %w", err)
	}
	takeNull(schema)
	defs := schema["$defs"].(map[string]any)
	backend := defs["backend"].(map[string]any)
	types := sortedKeys(drivers)
	var cases []any
	for _, name := range types {
		var settings map[string]any
		if err := json.Unmarshal(drivers[name], &settings); err != nil {
			return nil, fmt.Errorf("reading the schema of backend %s: %w", name, err)
		}
		takeNull(settings)
		for _, of := range []string{"secret", "directory"} {
			properties := defs[of].(map[string]any)["properties"].(map[string]any)
			own, _ := settings[of].(map[string]any)
			for key, value := range own {
				if properties[key] == nil { // of two types that have it, one describes it
					addNull(value)
					properties[key] = value
				}
			}
			delete(settings, of)
		}
		def := "backend-" + name
		defs[def] = settings
		cases = append(cases, map[string]any{
			"if":   map[string]any{"properties": map[string]any{"type": map[string]any{"const": name}}},
			"then": map[string]any{"$ref": "#/$defs/" + def},
		})
	}
	if len(cases) > 0 {
		backend["allOf"] = cases
		backend["properties"].(map[string]any)["type"].(map[string]any)["enum"] = types
	}
	text, err := json.MarshalIndent(schema, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("writing the schema of the policy: %w", err)
	}
	return append(text, '\n'), nil
}
