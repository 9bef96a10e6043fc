package sops

import (
	"errors"
	"slices"
	"testing"

	"github.com/secretfs/secretfs/backend"
	"github.com/secretfs/secretfs/backend/secret"
)

// open parses and unlocks file.
func open(format Format, file []byte) (*Document, error) {
	d, err := Parse(slices.Clone(file), format)
	if err != nil {
		return nil, err
	}
	key, err := secret.From(slices.Clone(ring().dataKey))
	if err != nil {
		return nil, err
	}
	defer key.Destroy()
	return d, d.Unlock(key)
}

func mustOpen(t testing.TB, format Format, file []byte) *Document {
	t.Helper()
	d, err := open(format, file)
	if err != nil {
		t.Fatalf("%v in\n%s", err, file)
	}
	return d
}

// read gives the plaintext of key, and checks that Stat knew its length.
func read(t testing.TB, d *Document, key string) string {
	t.Helper()
	info, err := d.Stat(key)
	if err != nil {
		t.Fatal(err)
	}
	s, err := d.Get(key)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Value.Destroy()
	if !info.Dir && info.Size != int64(s.Value.Len()) {
		t.Errorf("Stat(%q) says %d bytes, Get gives %d", key, info.Size, s.Value.Len())
	}
	if info.Version != s.Version || len(s.Version) != 16 {
		t.Errorf("Stat(%q) says version %q, Get %q", key, info.Version, s.Version)
	}
	if after, err := d.Stat(key); err != nil || after.Size != int64(s.Value.Len()) {
		t.Errorf("after reading it, Stat(%q) says %d bytes (%v), Get gave %d", key, after.Size, err, s.Value.Len())
	}
	return string(s.Value.Bytes())
}

const yamlSample = `# head
first: one
n: 42
pi: 3.5
yes: true
no: false
day: 2001-12-14
when: 2001-12-14T21:59:43.1Z
nothing: null
empty: ""
deep:
  # about token
  token: s3cret # inline
  list:
    - a
    # between
    - b: c
    - 7
  plain_unencrypted: in the clear
a/b: slash
umlaut: "grüße\n\tzweite Zeile"
block: |
  line one
  line two
`

func TestKeys(t *testing.T) {
	d := mustOpen(t, YAML, mustSeal(t, YAML, yamlSample))
	for key, want := range map[string]string{
		"first": "one", "n": "42", "pi": "3.5", "yes": "true", "no": "false",
		"day": "2001-12-14T00:00:00Z", "when": "2001-12-14T21:59:43.1Z",
		"nothing": "null", "empty": "", "deep/token": "s3cret", "deep/list/0": "a",
		"deep/list/1/b": "c", "deep/list/2": "7", "a/b": "slash",
		"deep/plain_unencrypted": "in the clear",
		"umlaut":                 "grüße\n\tzweite Zeile", "block": "line one\nline two\n",
		"deep/list": "- a\n# between\n- b: c\n- 7\n",
	} {
		if got := read(t, d, key); got != want {
			t.Errorf("key %q is %q, want %q", key, got, want)
		}
	}
}

func TestKeyNotFound(t *testing.T) {
	d := mustOpen(t, YAML, mustSeal(t, YAML, yamlSample))
	for key, want := range map[string]string{
		"deep/tokne":       `key "deep/tokne": "deep" has no "tokne", it has "token", "list", "plain_unencrypted": no such secret`,
		"deep/token/x":     `key "deep/token/x": "deep/token" is a value and has no "x": no such secret`,
		"deep/list/9":      `key "deep/list/9": "deep/list" has no "9", it has "0", "1", "2": no such secret`,
		"mem0/token":       `key "mem0/token": the file has no "mem0", it has "first", "n", "pi", "yes", "no", "day", "when", "nothing" and 5 more: no such secret`,
		"deep/list/1/":     `key "deep/list/1/": "deep/list/1" has no "", it has "b": no such secret`,
		"deep/list/01":     `key "deep/list/01": "deep/list" has no "01", it has "0", "1", "2": no such secret`,
		"sops":             `key "sops": the file has no "sops", it has "first", "n", "pi", "yes", "no", "day", "when", "nothing" and 5 more: no such secret`,
		"deep/list/1/b/cc": `key "deep/list/1/b/cc": "deep/list/1/b" is a value and has no "cc": no such secret`,
	} {
		_, err := d.Get(key)
		if !errors.Is(err, backend.ErrNotFound) || err.Error() != want {
			t.Errorf("Get(%q):\n got %v\nwant %s", key, err, want)
		}
	}
}
