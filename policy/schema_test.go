package policy

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/secretfs/secretfs/policy/conf"
)

type object = map[string]any

func schemaOf(t *testing.T) object {
	t.Helper()
	text, err := Schema(map[string]json.RawMessage{
		"sops": json.RawMessage(`{"properties":{"file":{"type":"string"}},"required":["file"]}`),
		"exec": json.RawMessage(`{"properties":{"command":{"type":"array"}}}`),
	})
	if err != nil {
		t.Fatal(err)
	}
	var schema object
	if err := json.Unmarshal(text, &schema); err != nil {
		t.Fatal(err)
	}
	return schema
}

// at follows names through nested objects.
func at(schema object, names ...string) object {
	for _, name := range names {
		schema, _ = schema[name].(object)
	}
	return schema
}

// What the schema completes the parser takes, and the other way round.
func TestSchemaHasTheParsersKeys(t *testing.T) {
	schema := schemaOf(t)
	// The parser knows the key to say that it comes later.
	top := slices.DeleteFunc(slices.Clone(topKeys), func(k string) bool { return k == "templates" })
	for _, c := range []struct {
		of     object
		closed string
		keys   []string
	}{
		{schema, "additionalProperties", top},
		{at(schema, "properties", "defaults"), "additionalProperties", permKeys},
		{at(schema, "properties", "audit"), "additionalProperties", auditKeys},
		{at(schema, "$defs", "only"), "additionalProperties", onlyKeys},
		{at(schema, "$defs", "secret"), "additionalProperties", secretKeys},
		{at(schema, "$defs", "directory"), "additionalProperties", directoryKeys},
		{at(schema, "$defs", "backend"), "unevaluatedProperties", backendKeys},
	} {
		if c.of[c.closed] != false {
			t.Errorf("%v does not refuse unknown keys", c.of["description"])
		}
		got := slices.Sorted(maps.Keys(at(c.of, "properties")))
		if want := slices.Sorted(slices.Values(c.keys)); !slices.Equal(got, want) {
			t.Errorf("the schema has %q, the parser %q", got, want)
		}
	}
}

// The parser's lists of keys are what it goes by: an unknown key is refused
// everywhere, and each of the schema's is known, whatever its value.
func TestParserTakesTheSchemasKeys(t *testing.T) {
	schema := schemaOf(t)
	for _, c := range []struct {
		before, after string
		of            object
	}{
		{`{`, `}`, schema},
		{`{"defaults":{`, `}}`, at(schema, "properties", "defaults")},
		{`{"audit":{`, `}}`, at(schema, "properties", "audit")},
		{`{"defaults":{"only":{`, `}}}`, at(schema, "$defs", "only")},
		{`{"secrets":{"x":{`, `}}}`, at(schema, "$defs", "secret")},
		{`{"directories":{"x":{`, `}}}`, at(schema, "$defs", "directory")},
		{`{"backends":{"x":{"type":"t",`, `}}}`, at(schema, "$defs", "backend")},
	} {
		unknown := func(key string) bool {
			driver := func(n *conf.Node, _ string, report *conf.Problems) any { return conf.Open(n, report) }
			_, err := Parse("p", []byte(c.before+`"`+key+`":null`+c.after), Env{Drivers: Drivers{"t": {Settings: driver}}})
			return err != nil && strings.Contains(err.Error(), "unknown key")
		}
		for key := range at(c.of, "properties") {
			if unknown(key) {
				t.Errorf("%s%q%s is unknown to the parser", c.before, key, c.after)
			}
		}
		if !unknown("no-such-key") {
			t.Errorf("%s...%s takes any key", c.before, c.after)
		}
	}
}

// What is null the parser takes for not given. So does the schema, but for what
// must be given.
func TestSchemaTakesNull(t *testing.T) {
	text, err := Schema(map[string]json.RawMessage{"t": json.RawMessage(`{"required":["must"],
		"properties":{"must":{"type":"string"},"may":{"$ref":"#/$defs/credential"}},"secret":{"of":{"const":1}}}`)})
	if err != nil {
		t.Fatal(err)
	}
	var schema object
	if err := json.Unmarshal(text, &schema); err != nil {
		t.Fatal(err)
	}
	driver := func(n *conf.Node, _ string, report *conf.Problems) any { return conf.Open(n, report, "must", "may") }
	env := Env{Drivers: Drivers{"t": {Settings: driver, SecretKeys: []string{"of"}, TTL: 1}}}
	problems := func(policy string) int {
		_, err := Parse("/p", []byte(policy), env)
		if err == nil {
			return 0
		}
		return 1 + strings.Count(err.Error(), "\n")
	}
	for _, c := range []struct {
		before, after string
		of            object
	}{
		{`{`, `}`, schema},
		{`{"defaults":{`, `}}`, at(schema, "properties", "defaults")},
		{`{"audit":{`, `}}`, at(schema, "properties", "audit")},
		{`{"defaults":{"only":{`, `}}}`, at(schema, "$defs", "only")},
		{`{"backends":{"b":{"type":"t"}},"secrets":{"x":{`, `}}}`, at(schema, "$defs", "secret")},
		{`{"directories":{"x":{`, `}}}`, at(schema, "$defs", "directory")},
		{`{"backends":{"x":{`, `}}}`, at(schema, "$defs", "backend")},
		{`{"backends":{"x":{"type":"t"}}}`, ``, at(schema, "$defs", "backend-t")},
	} {
		required, _ := c.of["required"].([]any)
		for key, property := range at(c.of, "properties") {
			if want := !slices.Contains(required, any(key)); takesNull(schema, property) != want {
				t.Errorf("%s%q: null: %s in the schema", c.before, key, map[bool]string{true: "refused", false: "taken"}[want])
			}
			if c.after != "" && problems(c.before+`"`+key+`":null`+c.after) != problems(c.before+c.after) {
				t.Errorf("%s%q: null%s is refused by the parser", c.before, key, c.after)
			}
		}
	}
}

// takesNull knows the words that the schema is written with.
func takesNull(schema object, property any) bool {
	p := property.(object)
	if ref, ok := p["$ref"].(string); ok && !takesNull(schema, at(schema, strings.Split(strings.TrimPrefix(ref, "#/"), "/")...)) {
		return false
	}
	for _, key := range []string{"anyOf", "oneOf"} {
		cases, ok := p[key].([]any)
		if ok && !slices.ContainsFunc(cases, func(c any) bool { return takesNull(schema, c) }) {
			return false
		}
	}
	if values, ok := p["enum"].([]any); ok && !slices.Contains(values, nil) {
		return false
	}
	types, list := p["type"].([]any)
	return p["const"] == nil && (p["type"] == nil || p["type"] == "null" || list && slices.Contains(types, any("null")))
}

func TestSchemaOfDrivers(t *testing.T) {
	schema := schemaOf(t)
	types, _ := json.Marshal(at(schema, "$defs", "backend", "properties", "type")["enum"])
	if string(types) != `["exec","sops"]` {
		t.Errorf("the types are %s", types)
	}
	cases, _ := json.Marshal(at(schema, "$defs", "backend")["allOf"])
	const want = `[{"if":{"properties":{"type":{"const":"exec"}}},"then":{"$ref":"#/$defs/backend-exec"}},` +
		`{"if":{"properties":{"type":{"const":"sops"}}},"then":{"$ref":"#/$defs/backend-sops"}}]`
	if string(cases) != want {
		t.Errorf("the cases are %s", cases)
	}
	if at(schema, "$defs", "backend-sops", "properties", "file")["type"] != "string" {
		t.Error("the settings of sops are not in it")
	}
	if _, err := Schema(map[string]json.RawMessage{"x": json.RawMessage("{")}); err == nil {
		t.Error("a driver's broken schema is taken")
	}
}

// Every reference leads somewhere, and everything a person may write has a
// description.
func TestSchemaIsWhole(t *testing.T) {
	schema := schemaOf(t)
	var walk func(way string, v any)
	walk = func(way string, v any) {
		switch v := v.(type) {
		case []any:
			for _, item := range v {
				walk(way, item)
			}
		case object:
			ref, _ := v["$ref"].(string)
			if ref != "" && at(schema, strings.Split(strings.TrimPrefix(ref, "#/"), "/")...) == nil {
				t.Errorf("%s refers to %s, which is not there", way, ref)
			}
			for name, inner := range v {
				walk(way+"/"+name, inner)
			}
		}
	}
	walk("", schema)
	for _, of := range []object{schema, at(schema, "properties", "audit"), at(schema, "$defs", "only"), at(schema, "$defs", "backend")} {
		for name, p := range at(of, "properties") {
			if p.(object)["description"] == nil {
				t.Errorf("%s has no description", name)
			}
		}
	}
}
