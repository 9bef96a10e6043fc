package sops

import (
	"fmt"
	"math"
	"unsafe"

	"github.com/secretfs/secretfs/backend"
	"github.com/secretfs/secretfs/backend/secret"
)

// A lockedWriter collects output in locked memory.
type lockedWriter struct {
	mem *secret.Value
	n   int
	err error
}

// Write never fails; value reports what went wrong.
func (w *lockedWriter) Write(p []byte) (int, error) {
	w.reserve(len(p))
	if w.err == nil {
		w.n += copy(w.mem.Bytes()[w.n:], p)
	}
	return len(p), nil
}

func (w *lockedWriter) text(s string) { w.Write(unsafe.Slice(unsafe.StringData(s), len(s))) }

func (w *lockedWriter) reserve(n int) {
	need := w.n + n
	if w.err != nil || need <= w.mem.Len() {
		return
	}
	if need > math.MaxInt32 {
		w.err = fmt.Errorf("the rendered text is too long: %w", backend.ErrUnsupported)
		return
	}
	mem, err := secret.New(max(need, 2*w.mem.Len(), 4096))
	if err != nil {
		w.err = err
		return
	}
	copy(mem.Bytes(), w.mem.Bytes()[:w.n])
	w.wipe()
	w.mem = mem
}

func (w *lockedWriter) wipe() {
	if w.mem != nil {
		w.mem.Destroy()
	}
}

// value moves what was written into a Value of its exact length.
func (w *lockedWriter) value() (*secret.Value, error) {
	if w.err != nil {
		return nil, w.err
	}
	v, err := secret.New(w.n)
	if err != nil {
		return nil, err
	}
	copy(v.Bytes(), w.mem.Bytes()[:w.n])
	return v, nil
}
