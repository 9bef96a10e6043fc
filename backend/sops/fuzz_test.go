package sops

import (
	"bytes"
	"strings"
	"testing"
)

// seeds are files that sops made of generated plaintext.
func seeds(f *testing.F, format Format) {
	n := 0
	for seed := range uint64(60) {
		g := newGenerator(seed)
		if file, err := seal(format, []byte(g.plain(format)), g.options()...); err == nil {
			f.Add(file)
			n++
		}
	}
	if n < 10 {
		f.Fatalf("only %d seeds", n)
	}
}

// fuzz holds any input to what sops makes of it.
func fuzz(f *testing.F, format Format) {
	seeds(f, format)
	f.Fuzz(func(t *testing.T, file []byte) {
		if len(file) > 64<<10 {
			t.Skip("the oracle is quadratic")
		}
		if bytes.Contains(file, []byte("*")) && bytes.Contains(file, []byte("&")) {
			// The oracle may expand aliases until the stack is full.
			_, _ = open(format, file)
			return
		}
		compare(t, format, file)
	})
}

func FuzzDocumentYAML(f *testing.F)   { fuzz(f, YAML) }
func FuzzDocumentJSON(f *testing.F)   { fuzz(f, JSON) }
func FuzzDocumentDotenv(f *testing.F) { fuzz(f, Dotenv) }
func FuzzDocumentINI(f *testing.F)    { fuzz(f, INI) }
func FuzzDocumentBinary(f *testing.F) { fuzz(f, Binary) }

// FuzzPlaintext has sops encrypt anything that it takes, so that the MAC is right
// and what counts is how the file is read.
func FuzzPlaintext(f *testing.F) {
	for seed := range uint64(100) {
		for i, format := range Formats {
			f.Add(byte(i), seed, newGenerator(seed).plain(format))
		}
	}
	f.Fuzz(func(t *testing.T, format byte, seed uint64, plain string) {
		if len(plain) > 16<<10 || strings.Contains(plain, "*") && strings.Contains(plain, "&") {
			return // too much for the oracle
		}
		form := Formats[int(format)%len(Formats)]
		if file, err := seal(form, []byte(plain), newGenerator(seed).options()...); err == nil {
			compare(t, form, file)
		}
	})
}
