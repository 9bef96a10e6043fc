package conf_test

import (
	"strconv"
	"strings"
	"testing"

	"github.com/secretfs/secretfs/policy/conf"
)

// What a person sees for a document that is no configuration at all.
func TestParseRefuses(t *testing.T) {
	for _, c := range []struct{ name, doc, want string }{
		{"nothing", "", "f:1:1: want a map of settings, have nothing"},
		{"only a comment", "# c\n", "f:1:1: want a map of settings, have nothing"},
		{"a list", "[a]", "f:1:1: want a map of settings, have a list"},
		{"a text", "x", "f:1:1: want a map of settings, have a text"},
		{"an open map", "a: 1\nb: {c: \n", "f:3: reading YAML: did not find expected node content"},
		{"an open list", "a: 1\nb: [c\nd: 2\n", "f:2: reading YAML: did not find expected ',' or ']'"},
		{"a wrong indent", "a: 1\nb: 2\n c: 3\n", "f:3: reading YAML: mapping values are not allowed in this context"},
		{"an open quote", "a: 1\nb: \"x\n", "f:2: reading YAML: found unexpected end of stream"},
		{"a tab", "a: 1\n\tb: 2\n", "f:2: reading YAML: found a tab character that violates indentation"},
		{"a wrong first line", "a: b: c\n", "f:1: reading YAML: mapping values are not allowed in this context"},
		{"something after the end", "a: 1\n...\nb: 2\n", "f:3: reading YAML: did not find expected <document start>"},
		{"a glob without quotes", "a: 1\nb: *x\n", "f:2:4: reading YAML: a text that begins with * needs quotes"},
		{"an anchor", "a: &x 1\n", "f:1:4: a: anchors and aliases (& and *) are not supported; write the value out"},
		{"an anchored key", "&x a: 1\n", "f:1:1: a: anchors and aliases (& and *) are not supported; write the value out"},
		{"a duplicate", "a: 1\nb: 2\na: 3\n", `f:3:1: a: key "a" is given twice, first at 1:1`},
		{"a second document", "a: 1\n---\nb: 2\n", "f:2:1: a second document begins here; want one"},
		{"a core tag", "a: !!int 3\n", "f:1:4: a: the tag !!int is not supported; use quotes for a text"},
		{"another tag", "a: !foo 3\n", "f:1:4: a: the tag !foo is not supported; use quotes for a text"},
		{"a merge key", "<<: {a: 1}\n", "f:1:1: <<: merge keys (<<) are not supported; write the entries out"},
		{"a list as key", "? [a]\n: 1\n", `f:1:3: "": a key must be a text`},
		{"null as key", "~: 1\n", "f:1:1: ~: a key must be a text"},
		{"latin-1", "a: ä\nb: \xe4\n", "f:2:4: reading YAML: this is not UTF-8"},
		{"a NUL", "a: \x00\n", "f:1:4: reading YAML: this is a control character"},

		{"JSON: an open map", `{"a":1`, "f:1:7: reading as JSON, since it begins with {: the file ends in the middle"},
		{"JSON: a last comma", `{"a":1,}`, "f:1:7: reading as JSON, since it begins with {: invalid character ',' at start of value"},
		{"JSON: something after the end", "{\"a\":1}\n x", "f:2:2: reading as JSON, since it begins with {: invalid character 'x' at start of value"},
		{"JSON: a second document", `{"a":1}{}`, "f:1:9: reading as JSON, since it begins with {: a second document begins here"},
		{"JSON: a duplicate", `{"a":1,"a":2}`, `f:1:8: a: key "a" is given twice, first at 1:2`},
		{"JSON: a duplicate, escaped and nested", `{"b":[{"a":1,"\u0061":2}]}`, `f:1:14: b.0.a: key "a" is given twice, first at 1:8`},
		{"JSON: half a word", "{\"ä\":1,\n \"b\": tru}", "f:2:10: reading as JSON, since it begins with {: invalid character '}' in literal true (expecting 'e')"},
		{"JSON: columns count characters", "{\"ää\": 01}", "f:1:9: reading as JSON, since it begins with {: invalid character '1' after object value (expecting ',' or '}')"},
		{"JSON: latin-1", "{\"a\": \"\xff\"}", "f:1:8: reading as JSON, since it begins with {: invalid UTF-8"},
		{"YAML in braces", `{a: 1}`, "f:1:2: reading as JSON, since it begins with {: invalid character 'a' at start of value"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, problems := conf.Parse("f", []byte(c.doc))
			if got := problems.Error(); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

func TestManyDuplicates(t *testing.T) {
	doc := strings.Repeat("x: 1\n", 40)
	_, problems := conf.Parse("f", []byte(doc))
	if n := len(problems.List()); n != 39 {
		t.Errorf("%d problems, want 39:\n%v", n, problems)
	}
}

// What one entry has too much keeps nobody from seeing what is wrong elsewhere;
// a value that cannot be had does.
func TestParseGoesOn(t *testing.T) {
	for _, c := range []struct{ doc, want string }{
		{"a: {x: 1}\na: {y: 2}\n", `{x=a_number"1"} x`},
		{`{"a":{"x":1},"a":{"y":2}}`, `{x=a_number"1"} x`},
		{"a: &n {x: !!str 1, <<: {y: 2}, ~: 3}\n", `{x=a_text"1" <<={y=a_number"2"} ~=a_number"3"} x`},
		{"a: {x: 1}\n---\na: {y: 2}\n", `{x=a_number"1"} x`},
		{"b: &n {x: 1}\na: *n\n", ""},
		{"a: &n [*n]\n", ""},
		{`{"a":{"x":1}`, ""},
	} {
		n, problems := conf.Parse("f", []byte(c.doc))
		if problems.Err() == nil {
			t.Errorf("%q has no problem", c.doc)
		}
		if got := goneOn(n, problems); got != c.want {
			t.Errorf("%q: got %q, want %q", c.doc, got, c.want)
		}
	}
}

// goneOn is what stands at "a" and the keys in it that are looked into, "" where
// there is no document.
func goneOn(n *conf.Node, problems *conf.Problems) string {
	if n == nil {
		return ""
	}
	got := dump(n.Get("a"))
	conf.Open(n, problems, "a").Each("a", func(k conf.Key, _ *conf.Node) { got += " " + k.Name })
	return got
}

// Both formats give the same nodes, and places that count characters.
func TestSameNodes(t *testing.T) {
	j := `{"text":"a\n\"ä","number":-1.5e3,"yes":true,"none":null,"list":["x",1,[]],"map":{"ü":{}, "k": "v"}}`
	y := `
text: "a\n\"ä"
number: -1.5e3
yes: true
none:
list: [x, 1, []]
map: {ü: {}, k: v}
`
	fromJSON, fromYAML := mustParse(t, j), mustParse(t, y)
	const want = `{text=a_text"a\n\"ä" number=a_number"-1.5e3" yes=true_or_false"true" none=nothing"" ` +
		`list=[a_text"x" a_number"1" []] map={ü={} k=a_text"v"}}`
	for _, n := range []*conf.Node{fromJSON, fromYAML, fromJSON.Without(), fromYAML.Without("nope")} {
		if got := dump(n); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
	for _, c := range []struct {
		n    *conf.Node
		want string
	}{
		{fromYAML.Get("list"), "6:7"},
		{&fromYAML.Get("list").Items()[1], "6:11"},
		{fromYAML.Get("map").Get("k"), "7:17"},
		{fromJSON.Get("map").Get("k"), "1:95"},
		{fromJSON.Get("list").Get("k"), ""},
	} {
		if c.n == nil {
			if c.want != "" {
				t.Errorf("no node at %s", c.want)
			}
			continue
		}
		if got := c.n.Pos.String(); got != c.want {
			t.Errorf("%s is at %s, want %s", c.n.Written(), got, c.want)
		}
	}
}

// What YAML 1.1 takes for something else stays a text.
func TestYAMLTexts(t *testing.T) {
	n := mustParse(t, "a: [yes, on, n, 2024-01-01, 1:30, 0x10, 0400, 1_000, .inf, 'true', True]\n1: x\ntrue: y\n")
	const want = `{a=[a_text"yes" a_text"on" a_text"n" a_text"2024-01-01" a_text"1:30" a_number"0x10" a_number"0400" a_number"1_000" ` +
		`a_number".inf" a_text"true" true_or_false"true"] 1=a_text"x" true=a_text"y"}`
	if got := dump(n); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestWithoutSharesNothing(t *testing.T) {
	n := mustParse(t, `{"type":"sops","file":"x","age":{"key_files":["k"]}}`)
	const want = `{file=a_text"x" age={key_files=[a_text"k"]}}`
	if got := dump(n.Without("type", "age.key_files")); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func mustParse(t *testing.T, doc string) *conf.Node {
	t.Helper()
	n, problems := conf.Parse("f", []byte(doc))
	if err := problems.Err(); err != nil {
		t.Fatal(err)
	}
	return n
}

func dump(n *conf.Node) string {
	var b strings.Builder
	write(&b, n)
	return b.String()
}

func write(b *strings.Builder, n *conf.Node) {
	brackets := map[conf.Kind]string{conf.Map: "{}", conf.List: "[]"}[n.Kind]
	if brackets == "" {
		b.WriteString(strings.ReplaceAll(n.Kind.String(), " ", "_") + strconv.Quote(n.Text))
		return
	}
	b.WriteByte(brackets[0])
	for i := range n.Items() {
		if i > 0 {
			b.WriteByte(' ')
		}
		if n.Kind == conf.Map {
			b.WriteString(n.Keys()[i].Name + "=")
		}
		write(b, &n.Items()[i])
	}
	b.WriteByte(brackets[1])
}
