package sops

import (
	"bytes"
	"fmt"
	"reflect"
	"strings"
	"testing"
)

// oddPlaces are documents with encrypted values where sops never puts them: V
// stands for one. The reading of each must not depend on its being shortened.
var oddPlaces = []string{
	"a: V\n", "a: V", "a: V\r\nb: V\r\n", "- V\n- V\n", "a:\n- V\n- b: V\n", "a: - V\n",
	"a: V # V\n", "a: V\n# b: V\nc: d\n", "# a: V\n", "a: b # c: V\n",
	"a: V\n  V\n", "a: V\n  b: V\n", "a: b\n  c: V\n", "a: b\n  - V\n  d\n",
	"a: |\n  b: V\n  - V\n", "a: >\n  b: V\n  - V\n  c\n", "a: >-\n    b: V\n\n  - V\n",
	"a: \"b: V\n  c: V\n  d\"\n", "a: 'b: V\n\n  - V\n '\n", "a: \"b: V\\\n  c\"\n",
	"{a: V\n}\n", "[- V\n]\n", "a: [b,\n - V\n]\n", "a: {b: V\n, c: d}\n",
	"? V\n: V\n", "? - V\n: b\n? - V\n: c\n", "? \"x: V\n y\"\n: 1\n", "? \"x: V\n y\"\n: 1\n? \"x: V\n y\"\n: 2\n", "? |\n  x: V\n: 1\n",
	"V: V\n", "a: V: V\n", "a: &x V\nb: *x\n", "a: &x\n  b: V\nc: *x\n", "<<: V\n", "a: V\na: V\n",
	"a: !!str V\nb: !!int V\n", "a: !!binary |\n  b: V\n", "---\na: V\n---\nb: V\n", "a: V\n...\n", "a: V \n", "a:  V\n", "a: V;\n", "a: VV\n",
	"a: V\n b: V\n", "a:\n\t- V\n", "\ufeffa: V\n", "a: \"\\x7e\"\nb: V\n", "a: V\nsops:\n  mac: V\n",
}

const someSealed = "ENC[AES256_GCM,data:c29tZSBsb25nZXIgdGV4dA==,iv:QUJDREVGR0g=,tag:SUpLTE1OT1A=,type:str]"

func FuzzShorten(f *testing.F) {
	for _, doc := range oddPlaces {
		f.Add([]byte(strings.ReplaceAll(doc, "V", someSealed)))
	}
	f.Fuzz(func(t *testing.T, file []byte) {
		want, wantErr := readYAML(&shortened{file: file, text: file})
		got, gotErr := parseYAML(file)
		if fmt.Sprint(gotErr) != fmt.Sprint(wantErr) {
			t.Fatalf("%q\ngives %v, at full length %v", file, gotErr, wantErr)
		}
		if gotErr == nil && !reflect.DeepEqual(got, want) {
			t.Fatalf("%q\ngives %v, at full length %v", file, got, want)
		}
	})
}

func TestShorten(t *testing.T) {
	file := []byte("a: " + someSealed + "\nb: " + someSealed + "\r\nc: \"" + someSealed + "\"\n- " + someSealed)
	s := shorten(file)
	if len(s.values) != 3 || bytes.Count(s.text, sealedMark) != 1 {
		t.Fatalf("%d values are shortened, want 3: %s", len(s.values), s.text)
	}
	if got := s.restore(string(s.text)); got != string(file) {
		t.Errorf("restored:\n%s\nwant:\n%s", got, file)
	}
}
