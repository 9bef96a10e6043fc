package credential

import (
	"encoding/json"
	"maps"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/secretfs/secretfs/policy/conf"
)

func decode(t *testing.T, text string) (Source, error) {
	t.Helper()
	doc, problems := conf.Parse("p.yaml", []byte("password: "+text+"\n"))
	s := Decode(conf.Open(doc, problems, "password"), "password", "/etc")
	return s, problems.Err()
}

// What the schema of the policy completes is what is taken.
func TestSchemaHasTheKeys(t *testing.T) {
	text, err := os.ReadFile("../../policy/schema.json")
	if err != nil {
		t.Fatal(err)
	}
	var schema struct {
		Defs struct {
			Credential struct{ Properties map[string]any }
		} `json:"$defs"`
	}
	if err := json.Unmarshal(text, &schema); err != nil {
		t.Fatal(err)
	}
	got := slices.Sorted(maps.Keys(schema.Defs.Credential.Properties))
	if want := slices.Sorted(slices.Values(keys)); !slices.Equal(got, want) {
		t.Errorf("the schema has %q, Decode %q", got, want)
	}
}

func TestDecode(t *testing.T) {
	for text, want := range map[string]Source{
		"null":                         {},
		"{file: pw}":                   {Kind: File, Name: "/etc/pw"},
		"{file: /x/.creds, key: PASS}": {Kind: File, Name: "/x/.creds", Key: "PASS"},
		"{credential: bw-password}":    {Kind: Systemd, Name: "bw-password"},
		"{secret: /bw/password}":       {Kind: Secret, Name: "bw/password"},
		"{command: [pass, show, bw]}":  {Kind: Command, Argv: []string{"pass", "show", "bw"}},
		"{command: [x], user: joe}":    {Kind: Command, Argv: []string{"x"}, User: "joe"},
		"{command: [x], user: 1000}":   {Kind: Command, Argv: []string{"x"}, User: "1000"},
		"{ask: true}":                  {Kind: Ask},
	} {
		want.Field = "password"
		if got, err := decode(t, text); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %#v, %v; want %#v", text, got, err, want)
		}
	}
}

func TestDecodeRefuses(t *testing.T) {
	for text, want := range map[string]string{
		"hunter2":                   "p.yaml:1:11: password: want {file: …}, {credential: …}, {secret: …}, {command: […]}, {ask: true}: what is written here would be readable in the Nix store",
		"{}":                        "have none",
		"{file: a, ask: true}":      "have file and ask",
		"{credential: x, key: y}":   "has a meaning together with file only",
		"{file: x, user: joe}":      "has a meaning together with command only",
		"{command: [x], user: a:b}": "no user can be called",
		"{credential: ../x}":        "want the name of a credential",
		"{command: []}":             "want a program and its arguments",
		"{ask: false}":              "leave the credential out",
		"{fiel: x}":                 `did you mean "file"?`,
	} {
		_, err := decode(t, text)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q in it", text, err, want)
		}
		if err != nil && strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: the error shows what may be a password", text)
		}
	}
}
