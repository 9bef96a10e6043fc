package kernel

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	mathrand "math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/crypto/ssh"

	"github.com/secretfs/secretfs/tests/harness"
)

// A site is a mount with secrets of every shape, for tests that change nothing.
type site struct {
	*harness.Mount
	values map[string][]byte // path -> what it has to read as
}

// bigSize is the length of the largest secret: many READs of direct I/O.
const bigSize = 1 << 20

// newSite mounts one backend of each format with these secrets:
//
//	text lines empty ssh-key private.pem script   of a yaml file
//	a/deep/er/secret                               in directories
//	list/0 ... list/2                              of a dynamic directory
//	formats/{yaml,json,dotenv,ini,binary}          one value of each format
//	big                                            a binary file of 1 MiB
func newSite(t *testing.T) *site {
	t.Helper()
	s := &site{values: map[string][]byte{
		"text":        []byte("correct horse battery staple"),
		"lines":       []byte("first line\nsecond line with needle\n\nlast line without end"),
		"empty":       {},
		"ssh-key":     sshKey(t),
		"private.pem": pkcs8Key(t),
		"script":      []byte("#!/bin/sh\necho \"ran $1\"\n"),
		"big":         random(bigSize),

		"a/deep/er/secret": []byte("below"),
		"list/0":           []byte("zero"), "list/1": []byte("one"), "list/2": []byte("two"),
		"formats/yaml": []byte("from yaml"), "formats/json": []byte("from json"), "formats/dotenv": []byte("from dotenv"),
		"formats/ini": []byte("from ini"), "formats/binary": []byte("from\x00binary\xff"),
	}}
	main := map[string]any{"list": []string{"zero", "one", "two"}, "value": map[string]string{"of-yaml": "from yaml"}}
	for _, name := range []string{"text", "lines", "empty", "ssh-key", "private.pem", "script"} {
		main[name] = string(s.values[name])
	}
	main["secret"] = "below"
	s.Mount = harness.New(t, harness.Options{
		Plain: toJSON(t, main), NoMount: true,
		Head: `backends:
  main: {type: sops, file: secrets.yaml, age: {key_files: [keys.txt]}}
  json: {type: sops, file: s.json, age: {key_files: [keys.txt]}}
  dotenv: {type: sops, file: s.env, age: {key_files: [keys.txt]}}
  ini: {type: sops, file: s.ini, age: {key_files: [keys.txt]}}
  binary: {type: sops, file: s.bin, age: {key_files: [keys.txt]}}
  big: {type: sops, file: big.bin, age: {key_files: [keys.txt]}}
`,
		Policy: `secrets:
  text: {backend: main}
  lines: {backend: main}
  empty: {backend: main}
  ssh-key: {backend: main}
  private.pem: {backend: main}
  script: {backend: main, mode: "0500"}
  big: {backend: big, key: ""}
  a/deep/er/secret: {backend: main, key: secret}
  formats/yaml: {backend: main, key: value/of-yaml}
  formats/json: {backend: json, key: nested/deeper/0}
  formats/dotenv: {backend: dotenv, key: VALUE}
  formats/ini: {backend: ini, key: section/key}
  formats/binary: {backend: binary, key: ""}
directories:
  list: {backend: main, prefix: list}
`,
	})
	for name, plain := range map[string]string{
		"s.json": `{"nested": {"deeper": ["from json"]}}`,
		"s.env":  "VALUE=from dotenv\n",
		"s.ini":  "[section]\nkey = from ini\n",
		"s.bin":  string(s.values["formats/binary"]), "big.bin": string(s.values["big"]),
	} {
		put(t, filepath.Join(s.Root, name), s.EncryptedAs(filepath.Ext(name), plain))
	}
	s.Mount.Mount()
	return s
}

func put(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// toJSON writes what is YAML too, whatever is in the values.
func toJSON(t *testing.T, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func random(n int) []byte {
	b := make([]byte, n)
	mathrand.NewChaCha8([32]byte{1}).Read(b)
	return b
}

func sshKey(t *testing.T) []byte {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKey(key, "tests of secretfs")
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(block)
}

func pkcs8Key(t *testing.T) []byte {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
}

// is fails the test unless got is what the secret at path holds. It quotes no
// more of it than its beginning.
func (s *site) is(t *testing.T, path string, got []byte) {
	t.Helper()
	if want := s.values[path]; !bytes.Equal(got, want) {
		t.Errorf("%s: got %d bytes %.40q, want %d bytes %.40q", path, len(got), got, len(want), want)
	}
}

// open opens a secret for the length of the test.
func (s *site) open(t *testing.T, path string, flags int) *os.File {
	t.Helper()
	f, err := os.OpenFile(s.Path(path), flags, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}
