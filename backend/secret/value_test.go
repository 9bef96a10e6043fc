package secret

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"runtime"
	"sync"
	"testing"
	"time"
)

func must(t testing.TB, b string) *Value {
	t.Helper()
	v, err := From([]byte(b))
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestFromMovesAndDestroyWipes(t *testing.T) {
	for _, n := range []int{0, 1, 63, 64, 65, 4096, 4097, 100_000} {
		src := bytes.Repeat([]byte{'s'}, n)
		v, err := From(src)
		if err != nil {
			t.Fatal(err)
		}
		if bytes.ContainsRune(src, 's') {
			t.Errorf("%d bytes: the source is not wiped", n)
		}
		if v.Len() != n || !bytes.Equal(v.Bytes(), bytes.Repeat([]byte{'s'}, n)) || v.Bytes() == nil {
			t.Errorf("%d bytes: the value differs", n)
		}
		v.Destroy()
		v.Destroy()
		if v.Bytes() != nil || v.Len() != 0 {
			t.Errorf("%d bytes: readable after Destroy", n)
		}
	}
}

func TestNil(t *testing.T) {
	var v *Value
	v.Destroy()
	if v.Bytes() != nil || v.Len() != 0 || v.Equal(v) || v.Share().Bytes() != nil {
		t.Error("a nil Value has content")
	}
	if _, err := New(-1); err == nil {
		t.Error("a negative size is accepted")
	}
}

// The slot stays mapped because another value lives in the same slab.
func TestDestroyWipesTheSlot(t *testing.T) {
	neighbour := must(t, "neighbour")
	defer neighbour.Destroy()
	v := must(t, "canary in the slab")
	slot := v.chunk().mem
	v.Destroy()
	if !bytes.Equal(slot, make([]byte, len(slot))) {
		t.Errorf("slot holds %d bytes of plaintext after Destroy", len(bytes.TrimRight(slot, "\x00")))
	}
	if string(neighbour.Bytes()) != "neighbour" {
		t.Error("the neighbour was changed")
	}
}

func TestShorten(t *testing.T) {
	for _, size := range []int{100, 10_000} {
		v, err := New(size)
		if err != nil {
			t.Fatal(err)
		}
		all := v.Bytes()
		for i := range all {
			all[i] = 'x'
		}
		v.Shorten(size + 1)
		v.Shorten(-1)
		if v.Len() != size {
			t.Errorf("%d bytes, want %d", v.Len(), size)
		}
		v.Shorten(7)
		if string(v.Bytes()) != "xxxxxxx" || cap(v.Bytes()) != 7 {
			t.Errorf("%q", v.Bytes())
		}
		if i := bytes.IndexByte(all[7:], 'x'); i >= 0 {
			t.Errorf("byte %d is not wiped", 7+i)
		}
		v.Destroy()
		v.Shorten(0) // nothing to cut
	}
}

func TestShareLivesUntilTheLast(t *testing.T) {
	v := must(t, "shared")
	slot := v.chunk().mem
	second := v.Share()
	v.Destroy()
	if string(second.Bytes()) != "shared" {
		t.Fatal("the second owner lost its bytes")
	}
	if v.Share().Bytes() != nil {
		t.Error("a destroyed value can be shared")
	}
	keep := must(t, "keeps the slab mapped")
	defer keep.Destroy()
	second.Destroy()
	if slot[0] != 0 {
		t.Error("not wiped after the last owner")
	}
}

func TestEqual(t *testing.T) {
	a, b, c, d := must(t, "same"), must(t, "same"), must(t, "diff"), must(t, "longer")
	if !a.Equal(b) || !a.Equal(a) || a.Equal(c) || a.Equal(d) || a.Equal(nil) {
		t.Error("Equal is wrong")
	}
	a.Destroy()
	if a.Equal(b) || a.Equal(a) {
		t.Error("a destroyed value equals something")
	}
	for _, v := range []*Value{b, c, d} {
		v.Destroy()
	}
}

func TestValuesDoNotOverlap(t *testing.T) {
	var all []*Value
	for i := range 3000 {
		v, err := New(i % 300)
		if err != nil {
			t.Fatal(err)
		}
		for j := range v.Bytes() {
			v.Bytes()[j] = byte(i)
		}
		all = append(all, v)
	}
	for i, v := range all {
		if bytes.Count(v.Bytes(), []byte{byte(i)}) != v.Len() {
			t.Fatalf("value %d was overwritten", i)
		}
		v.Destroy()
	}
}

func TestNoGrowth(t *testing.T) {
	before := Stats()
	for range 100_000 {
		v, err := New(rand.IntN(5000))
		if err != nil {
			t.Fatal(err)
		}
		if v.Len() > 0 {
			v.Bytes()[v.Len()-1] = 1
		}
		v.Destroy()
	}
	after := Stats()
	if after.Values != before.Values || after.Leaked != before.Leaked {
		t.Errorf("values: %+v before, %+v after", before, after)
	}
	// One spare slab a class stays.
	if spare := int64(len(pools) * slabSize); after.Mapped > before.Mapped+spare {
		t.Errorf("mapped: %d before, %d after", before.Mapped, after.Mapped)
	}
}

func TestConcurrent(t *testing.T) {
	var wg sync.WaitGroup
	shared := must(t, "everybody's")
	for g := range 8 {
		wg.Go(func() {
			for i := range 2000 {
				v, err := New(1 + i%200)
				if err != nil {
					t.Error(err)
					return
				}
				for j := range v.Bytes() {
					if v.Bytes()[j] != 0 {
						t.Error("a new value is not zero")
					}
					v.Bytes()[j] = byte(g + 1)
				}
				s := shared.Share()
				if s.Len() != len("everybody's") {
					t.Error("the shared value is gone")
				}
				s.Destroy()
				v.Destroy()
			}
		})
	}
	wg.Wait()
	shared.Destroy()
}

func TestCollectorIsTheNet(t *testing.T) {
	before := Stats()
	func() { must(t, "dropped") }()
	for range 200 {
		runtime.GC()
		if s := Stats(); s.Leaked == before.Leaked+1 && s.Values == before.Values {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Errorf("a dropped value was not reclaimed: %+v before, %+v after", before, Stats())
}

func TestWithoutMemfd(t *testing.T) {
	noMemfd.Store(true)
	defer noMemfd.Store(false)
	v, err := New(maxClass + 1)
	if err != nil {
		t.Fatal(err)
	}
	defer v.Destroy()
	checkLocked(t, v.chunk().mem)
	if _, err := Memfd(v); !errors.Is(err, ErrUnsupported) {
		t.Errorf("Memfd: %v", err)
	}
}

func BenchmarkNewDestroy(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		v, err := New(64)
		if err != nil {
			b.Fatal(err)
		}
		v.Destroy()
	}
}

func BenchmarkShare(b *testing.B) {
	v := must(b, "x")
	defer v.Destroy()
	for b.Loop() {
		v.Share().Destroy()
	}
}
