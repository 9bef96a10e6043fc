package age_test

import (
	"bytes"
	"compress/zlib"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	agetest "c2sp.org/CCTV/age"

	"github.com/secretfs/secretfs/backend"
)

// A vector is one of C2SP's test vectors for age (c2sp.org/CCTV/age, README): a
// file and what is to come of it.
type vector struct {
	expect, payload string
	identities      []string
	passphrase      bool
	file            []byte
}

func readVector(t *testing.T, name string) (v vector) {
	t.Helper()
	text, err := fs.ReadFile(agetest.Vectors, name)
	must(t, err)
	head, file, ok := bytes.Cut(text, []byte("\n\n"))
	if !ok {
		t.Fatal("no empty line")
	}
	v.file = file
	for line := range strings.Lines(string(head)) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), ": ")
		switch key {
		case "expect":
			v.expect = value
		case "payload":
			v.payload = value
		case "identity":
			v.identities = append(v.identities, value)
		case "passphrase":
			v.passphrase = true
		case "compressed":
			r, err := zlib.NewReader(bytes.NewReader(v.file))
			must(t, err)
			v.file, err = io.ReadAll(r)
			must(t, err)
		case "armored", "file key", "comment":
		default:
			t.Fatalf("the vector has a line that this test does not know: %q", line)
		}
	}
	return v
}

// TestVectors: every class of C2SP's vectors comes to the kind of error that it
// is about. What is for a passphrase is refused as such, unless the header is
// malformed already.
func TestVectors(t *testing.T) {
	entries, err := fs.ReadDir(agetest.Vectors, ".")
	must(t, err)
	seen := map[string]int{}
	for _, entry := range entries {
		t.Run(entry.Name(), func(t *testing.T) {
			v := readVector(t, entry.Name())
			class := v.expect
			if v.passphrase {
				class = "passphrase, " + class
			}
			seen[class]++
			checkVector(t, v)
		})
	}
	t.Logf("vectors by class: %v", seen)
	for _, class := range []string{"success", "no match", "HMAC failure", "header failure", "armor failure", "payload failure", "passphrase, success"} {
		if seen[class] == 0 {
			t.Errorf("there is no vector of class %q", class)
		}
	}
}

func checkVector(t *testing.T, v vector) {
	p := newPlace(t)
	put(t, p.keyFile, strings.Join(append(v.identities, p.identity.String()), "\n")+"\n")
	put(t, filepath.Join(p.dir, "v.age"), string(v.file))
	info, statErr := p.Stat(limited(t), "v")
	got, _, err := get(t, p.Backend, "v")
	kinds := map[string][]error{
		"no match": {backend.ErrLocked}, "HMAC failure": {backend.ErrCorrupt}, "header failure": {backend.ErrCorrupt},
		"armor failure": {backend.ErrCorrupt}, "payload failure": {backend.ErrCorrupt},
	}[v.expect]
	if v.passphrase {
		kinds = append(kinds, backend.ErrUnsupported)
	}
	if len(kinds) > 0 {
		if !slices.ContainsFunc(kinds, func(kind error) bool { return errors.Is(err, kind) }) {
			t.Errorf("%s: got %v, want one of %v", v.expect, err, kinds)
		}
		return
	}
	sum := sha256.Sum256([]byte(got))
	if v.expect != "success" || err != nil || hex.EncodeToString(sum[:]) != v.payload {
		t.Errorf("%s: got %d bytes, %v", v.expect, len(got), err)
	}
	if statErr != nil || info.Size != int64(len(got)) {
		t.Errorf("size before it was read: %+v, %v, want %d", info, statErr, len(got))
	}
}
