package secret

import (
	"crypto/subtle"
	"fmt"
	"runtime"
	"sync/atomic"
)

// A Value is one secret in locked memory. Use it as *Value; the owner calls
// Destroy. Methods may be called from several goroutines at once, but the bytes
// themselves are the caller's to guard: nobody may use a slice from Bytes after
// Destroy, when the memory may already hold another secret.
//
// A Value that is dropped without Destroy is wiped by the garbage collector at
// some time, and counted in Usage.Leaked. Because of this net, keep the Value
// reachable for as long as its Bytes are in use; a later Destroy does that.
type Value struct{ ref *ref }

// A ref is one owner's hold on a chunk.
type ref struct {
	chunk   atomic.Pointer[chunk]
	cleanup runtime.Cleanup
}

// New makes a Value of n zero bytes. The error wraps ErrLimit where the memory
// cannot be locked because of RLIMIT_MEMLOCK.
func New(n int) (*Value, error) {
	if n < 0 {
		return nil, fmt.Errorf("making a secret of %d bytes: negative size", n)
	}
	c, err := allocate(n)
	if err != nil {
		return nil, err
	}
	return hold(c), nil
}

// From moves b into a new Value: b is wiped, also where an error is returned.
func From(b []byte) (*Value, error) {
	defer Wipe(b)
	v, err := New(len(b))
	if err != nil {
		return nil, err
	}
	copy(v.Bytes(), b)
	return v, nil
}

func hold(c *chunk) *Value {
	r := &ref{}
	r.chunk.Store(c)
	r.cleanup = runtime.AddCleanup(r, reclaim, c)
	return &Value{r}
}

func reclaim(c *chunk) {
	leaked.Add(1)
	c.release()
}

func (v *Value) chunk() *chunk {
	if v == nil || v.ref == nil {
		return nil
	}
	return v.ref.chunk.Load()
}

// Bytes is the secret itself, not a copy; nil after Destroy. Its capacity is
// its length, so that append copies (out of locked memory: do not).
func (v *Value) Bytes() []byte {
	c := v.chunk()
	if c == nil {
		return nil
	}
	return c.bytes()
}

// Len is the length in bytes, 0 after Destroy.
func (v *Value) Len() int { return len(v.Bytes()) }

// Shorten cuts the secret to its first n bytes and wipes the others. Nobody else
// may have a share of it yet. A length that it does not have changes nothing.
func (v *Value) Shorten(n int) {
	if c := v.chunk(); c != nil && n >= 0 && n < c.n {
		Wipe(c.mem[n:c.n])
		c.n = n
	}
}

// Share makes a second owner of the same memory, which is wiped when the last
// of them is destroyed. From then on none of them may write to it. Sharing a
// destroyed Value gives a destroyed one.
func (v *Value) Share() *Value {
	c := v.chunk()
	if c == nil || !c.retain() {
		return &Value{}
	}
	return hold(c)
}

// Equal compares in a time that depends on the lengths alone. Destroyed and nil
// Values equal nothing, not even each other.
func (v *Value) Equal(o *Value) bool {
	a, b := v.Bytes(), o.Bytes()
	return a != nil && b != nil && subtle.ConstantTimeCompare(a, b) == 1
}

// Destroy wipes the memory and gives it back, or, where it is shared, lets go of
// it. Calling it again, or on nil, does nothing.
func (v *Value) Destroy() {
	if v == nil || v.ref == nil {
		return
	}
	if c := v.ref.chunk.Swap(nil); c != nil {
		v.ref.cleanup.Stop()
		c.release()
	}
	runtime.KeepAlive(v.ref)
}
