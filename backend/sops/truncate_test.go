package sops

import (
	"bytes"
	"errors"
	"testing"

	"github.com/secretfs/secretfs/backend"
)

// TestTruncated cuts a file of each format at every byte: what sops refuses is
// refused, and what it reads is the same.
func TestTruncated(t *testing.T) {
	for format, plain := range map[Format]string{
		YAML: "a: one\nb: 2\n", JSON: `{"a": "one", "b": 2}`, Dotenv: "a=one\nb=2\n", INI: "[s]\na = one\n", Binary: "one\n",
	} {
		t.Run(string(format), func(t *testing.T) {
			t.Parallel()
			file := mustSeal(t, format, plain)
			end := bytes.TrimRight(file, "\n")
			for cut := range end {
				compare(t, format, file[:cut])
			}
			if _, err := open(format, end[:len(end)-2]); !errors.Is(err, backend.ErrCorrupt) {
				t.Errorf("without the last two bytes: %v", err)
			}
		})
	}
}
