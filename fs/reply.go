package fs

import (
	"fmt"
	"sync"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// replySizes are the buffers that answers to READ are put into: for most
// secrets, and for as much as the kernel asks for at once.
var replySizes = [...]int{4 << 10, 128 << 10}

// keptReplies is how many buffers of each size are kept for the next READ.
const keptReplies = 8

// replies are buffers in locked memory that the kernel can pin, which it cannot
// memfd_secret's.
type replies struct {
	mu   sync.Mutex
	free [len(replySizes)][][]byte
}

// A reply is a READ's answer. It is wiped once it is sent.
type reply struct {
	pool  *replies
	whole []byte
	n     int
}

// take gives a buffer for n bytes.
func (r *replies) take(n int) (*reply, error) {
	for class, size := range replySizes {
		if n > size {
			continue
		}
		r.mu.Lock()
		if k := len(r.free[class]); k > 0 {
			b := r.free[class][k-1]
			r.free[class] = r.free[class][:k-1]
			r.mu.Unlock()
			return &reply{pool: r, whole: b, n: n}, nil
		}
		r.mu.Unlock()
		b, err := lockedBuffer(size)
		return &reply{pool: r, whole: b, n: n}, err
	}
	b, err := lockedBuffer(n)
	return &reply{pool: r, whole: b, n: n}, err
}

func lockedBuffer(n int) ([]byte, error) {
	b, err := unix.Mmap(-1, 0, n, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	if err != nil {
		return nil, fmt.Errorf("making a reply buffer: %w", err)
	}
	if err := unix.Mlock(b); err != nil {
		_ = unix.Munmap(b)
		return nil, fmt.Errorf("locking a reply buffer of %d bytes (RLIMIT_MEMLOCK): %w", n, err)
	}
	_ = unix.Madvise(b, unix.MADV_DONTDUMP) // core dumps are off anyway
	return b, nil
}

// Bytes gives what is sent.
func (r *reply) Bytes([]byte) ([]byte, fuse.Status) { return r.whole[:r.n], fuse.OK }

// Slices gives the same. go-fuse calls Done only after the write for results
// that have this method; for others it calls it before.
func (r *reply) Slices() ([][]byte, fuse.Status) { return [][]byte{r.whole[:r.n]}, fuse.OK }

// Size is its length in bytes.
func (r *reply) Size() int { return r.n }

// Done wipes it.
func (r *reply) Done() {
	clear(r.whole[:r.n])
	r.pool.mu.Lock()
	defer r.pool.mu.Unlock()
	for class, size := range replySizes {
		if len(r.whole) == size && len(r.pool.free[class]) < keptReplies {
			r.pool.free[class] = append(r.pool.free[class], r.whole)
			return
		}
	}
	_ = unix.Munmap(r.whole)
}
