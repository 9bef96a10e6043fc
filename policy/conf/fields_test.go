package conf_test

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/secretfs/secretfs/policy/conf"
)

// settings is what the tests below read, with one field of each type.
type settings struct {
	Text, Required, Path, Choice string
	Bool                         bool
	Wait                         time.Duration
	Texts, Paths                 []string
	Inner                        string
	Each                         []string
}

func read(doc string) (settings, string) {
	n, problems := conf.Parse("f", []byte(doc))
	if n == nil {
		return settings{}, problems.Error()
	}
	f := conf.Open(n, problems, "text", "required", "path", "choice", "bool", "wait", "texts", "paths", "map", "each")
	s := settings{
		Text:     f.Text("text", "fallback"),
		Required: f.Required("required"),
		Path:     f.Path("path", "/etc/x", "/fallback"),
		Choice:   f.OneOf("choice", "red", "red", "green"),
		Bool:     f.Bool("bool", true),
		Wait:     f.Duration("wait", time.Minute),
		Texts:    f.Texts("texts", noSpaces),
		Paths:    f.Paths("paths", "/etc/x"),
		Inner:    f.Map("map", "inner").Text("inner", "none"),
	}
	f.Each("each", func(k conf.Key, n *conf.Node) { s.Each = append(s.Each, k.Name+"="+n.Text) })
	if err := problems.Err(); err != nil {
		return s, err.Error()
	}
	return s, ""
}

func noSpaces(text string) string {
	if strings.Contains(text, " ") {
		return "has a space in it"
	}
	return ""
}

func TestFields(t *testing.T) {
	fallbacks := settings{Text: "fallback", Required: "r", Path: "/fallback", Choice: "red", Bool: true, Wait: time.Minute, Inner: "none"}
	for _, c := range []struct {
		name, doc string
		want      settings
	}{
		{"nothing given", "required: r", fallbacks},
		{"null is not given", "required: r\ntext:\npath: ~\nchoice: null\nbool:\nwait:\ntexts:\npaths:\nmap:\neach:\n", fallbacks},
		{
			"all given", `{"required":"r","text":"","path":"a/../b","choice":"green","bool":false,"wait":"1m30s","texts":["a","b"],"paths":["k","/k/"],"map":{"inner":"i"},"each":{"x":"1","y":"2"}}`,
			settings{"", "r", "/etc/x/b", "green", false, 90 * time.Second, []string{"a", "b"}, []string{"/etc/x/k", "/k"}, "i", []string{"x=1", "y=2"}},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, problems := read(c.doc)
			if problems != "" {
				t.Fatal(problems)
			}
			if !reflect.DeepEqual(got, c.want) {
				t.Errorf("got  %+v\nwant %+v", got, c.want)
			}
		})
	}
}

// Every mistake of a document is said in one go, in the order of the file.
func TestAllProblemsAtOnce(t *testing.T) {
	_, got := read(`text: 1
choice: grene
bool: "yes"
wait: 30
path: ""
texts: [a, 2, "", "b c", [x]]
paths: k
map: {inner: {}, iner: x}
each: [x]
txt: x
something: x
`)
	want := `f:1: required is missing
f:1:7: text: want a text, have the number 1
f:2:9: choice: want one of red, green; have "grene"; did you mean "green"?
f:3:7: bool: want true or false, have the text "yes"
f:4:7: wait: want a length of time like "30s", "5m" or "24h", have the number 30
f:5:7: path: is empty
f:6:12: texts.1: want a text, have the number 2
f:6:15: texts.2: is empty
f:6:19: texts.3: has a space in it
f:6:26: texts.4: want a text, have a list
f:7:8: paths: want a list, have the text "k"
f:8:14: map.inner: want a text, have a map
f:8:18: map.iner: unknown key; did you mean "inner"?
f:9:7: each: want a map, have a list
f:10:1: txt: unknown key; did you mean "text"?
f:11:1: something: unknown key; known are bool, choice, each, map, path, paths, required, text, texts, wait`
	if got != want {
		t.Errorf("got\n%s\n\nwant\n%s", got, want)
	}
}

func TestNegativeDuration(t *testing.T) {
	if _, got := read("required: r\nwait: -1s\n"); got != `f:2:7: wait: "-1s" is negative` {
		t.Error(got)
	}
}

func TestNoMap(t *testing.T) {
	n, problems := conf.Parse("f", []byte("a: 1"))
	conf.Open(n.Get("a"), problems)
	conf.Open(n.Get("a"), problems) // said once
	conf.Open(nil, problems)
	if got := problems.Error(); got != "f:1:4: a: want a map, have a number" {
		t.Error(got)
	}
}
