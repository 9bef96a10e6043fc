package sops

import (
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/secretfs/secretfs/backend/secret"
)

// A large value is nowhere but in the file and, as plaintext, in locked memory:
// there is no second copy of either on the heap.
func TestLargeIsNotCopied(t *testing.T) {
	plain := strings.Repeat("0123456789abcdef", 1<<20) // 16 MiB
	file := mustSeal(t, Binary, plain)
	before := allocated()
	d, err := Parse(file, Binary)
	if err != nil {
		t.Fatal(err)
	}
	key, err := secret.From(slices.Clone(ring().dataKey))
	if err != nil {
		t.Fatal(err)
	}
	defer key.Destroy()
	if err := d.Unlock(key); err != nil {
		t.Fatal(err)
	}
	s, err := d.Get("")
	if err != nil {
		t.Fatal(err)
	}
	state, err := encodeState(&saved{dataKey: key, file: d.index.file}, "")
	if err != nil {
		t.Fatal(err)
	}
	if more := allocated() - before; more > uint64(len(file)/4) {
		t.Errorf("a file of %d bytes has cost %d bytes of the heap", len(file), more)
	}
	if got := s.Value.Bytes(); string(got) != plain {
		t.Errorf("got another plaintext, of %d bytes", len(got))
	}
	state.Keys.Destroy()
	s.Value.Destroy()
}

// allocated is what the heap has given out since the start.
func allocated() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.TotalAlloc
}
