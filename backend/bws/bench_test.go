package bws_test

import (
	"fmt"
	"strings"
	"testing"
)

// BenchmarkRead is a read from memory: decryption into locked memory.
func BenchmarkRead(b *testing.B) {
	s := newSite()
	backend := s.open(b)
	for b.Loop() {
		v, err := backend.Get(b.Context(), tokenKey)
		if err != nil {
			b.Fatal(err)
		}
		v.Value.Destroy()
	}
}

// BenchmarkFirst is the first answer with 1,000 secrets of 1 KiB: reading it,
// decrypting all names, and one value.
func BenchmarkFirst(b *testing.B) {
	s := newSite()
	for i := range 1000 {
		s.Put(s.prod, fmt.Sprintf("secret-%d", i), strings.Repeat("0123456789abcdef", 64), "")
	}
	for b.Loop() {
		backend := s.open(b)
		v, err := backend.Get(b.Context(), tokenKey)
		if err != nil {
			b.Fatal(err)
		}
		v.Value.Destroy()
		backend.Close()
	}
}
