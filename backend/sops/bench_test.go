package sops

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"

	"github.com/secretfs/secretfs/backend/secret"
)

// sealedFile is a flat file of n secrets of 64 bytes.
func sealedFile(t testing.TB, format Format, n int) []byte {
	t.Helper()
	var b strings.Builder
	r := rand.New(rand.NewPCG(1, 2))
	sep := map[Format]string{YAML: ": ", Dotenv: "="}[format]
	if format == JSON {
		b.WriteString("{")
	}
	for i := range n {
		value := fmt.Sprintf("%016x%016x%016x%016x", r.Uint64(), r.Uint64(), r.Uint64(), r.Uint64())
		if format == JSON {
			fmt.Fprintf(&b, "%q: %q,\n", fmt.Sprintf("secret_%06d", i), value)
			continue
		}
		fmt.Fprintf(&b, "secret_%06d%s%s\n", i, sep, value)
	}
	text := b.String()
	if format == JSON {
		text = strings.TrimSuffix(text, ",\n") + "}"
	}
	return mustSealFast(t, format, text)
}

// BenchmarkLoad is the whole way from the bytes of a file to its MAC checked.
func BenchmarkLoad(b *testing.B) {
	for format, sizes := range map[Format][]int{YAML: {1000, 10_000, 100_000}, JSON: {1000, 10_000}, Dotenv: {1000, 10_000}} {
		for _, n := range sizes {
			b.Run(fmt.Sprintf("%s/%d", format, n), func(b *testing.B) {
				file := sealedFile(b, format, n)
				b.SetBytes(int64(len(file)))
				b.ReportAllocs()
				for b.Loop() {
					mustOpen(b, format, file)
				}
			})
		}
	}
}

// BenchmarkGet decrypts one secret of ten thousand.
func BenchmarkGet(b *testing.B) {
	d := mustOpen(b, YAML, sealedFile(b, YAML, 10_000))
	b.ReportAllocs()
	for b.Loop() {
		s, err := d.Get("secret_005000")
		if err != nil {
			b.Fatal(err)
		}
		s.Value.Destroy()
	}
}

func BenchmarkStat(b *testing.B) {
	d := mustOpen(b, YAML, sealedFile(b, YAML, 10_000))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := d.Stat("secret_005000"); err != nil {
			b.Fatal(err)
		}
	}
}

// TestMemory holds the index to 60 bytes a secret beside the file itself.
func TestMemory(t *testing.T) {
	const n = 10_000
	file := sealedFile(t, YAML, n)
	key, err := secret.From(bytes.Clone(ring().dataKey))
	if err != nil {
		t.Fatal(err)
	}
	defer key.Destroy()
	before := heap()
	d, err := Parse(file, YAML)
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Unlock(key); err != nil {
		t.Fatal(err)
	}
	used := heap() - before
	runtime.KeepAlive(d)
	if each := used / n; each > 60 {
		t.Errorf("the index takes %d bytes a secret", each)
	} else {
		t.Logf("the index takes %d bytes a secret", each)
	}
}

func heap() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
