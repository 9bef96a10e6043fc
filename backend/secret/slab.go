package secret

import (
	"math/bits"
	"sync"
	"sync/atomic"
)

const (
	minClass = 64
	maxClass = 4096
	slabSize = 64 << 10
)

// Usage tells how much memory holds secrets in this process.
type Usage struct {
	Values int64 // chunks of memory in use, shared ones counted once
	Mapped int64 // bytes of locked address space, counted by RLIMIT_MEMLOCK
	Leaked int64 // Values that were dropped without Destroy, since the start
}

var live, mapped, leaked atomic.Int64

// Stats tells the present Usage.
func Stats() Usage {
	return Usage{Values: live.Load(), Mapped: mapped.Load(), Leaked: leaked.Load()}
}

// A chunk is the memory of one secret: a slot of a slab, or, where slab is nil,
// a mapping of its own.
type chunk struct {
	mem      []byte // whole slot or mapping
	n        int    // bytes in use
	slab     *slab
	readOnly bool // somebody else's pages: unmapped, not wiped
	refs     atomic.Int32
}

func newChunk(mem []byte, n int, s *slab) *chunk {
	c := &chunk{mem: mem, n: n, slab: s}
	c.refs.Store(1)
	live.Add(1)
	return c
}

func (c *chunk) bytes() []byte { return c.mem[:c.n:c.n] }

// retain adds a reference unless the last one is already gone.
func (c *chunk) retain() bool {
	for {
		n := c.refs.Load()
		if n == 0 {
			return false
		}
		if c.refs.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

func (c *chunk) release() {
	if c.refs.Add(-1) != 0 {
		return
	}
	live.Add(-1)
	if !c.readOnly {
		Wipe(c.bytes())
	}
	if c.slab == nil {
		unmapLocked(c.mem)
		return
	}
	c.slab.pool.put(c.slab, c.mem)
}

// A slab is a mapping cut into slots of one size.
type slab struct {
	pool *pool
	mem  []byte
	free [][]byte // slots not in use, all zero
	at   int      // index in pool.avail, -1 where no slot is free
}

// A pool holds the slabs of one size class.
type pool struct {
	size int

	mu    sync.Mutex
	avail []*slab // slabs with a free slot; guarded by mu
}

// pools has one entry for each power of two from minClass to maxClass.
var pools = func() (all []*pool) {
	for size := minClass; size <= maxClass; size *= 2 {
		all = append(all, &pool{size: size})
	}
	return all
}()

// allocate gives n zero bytes of locked memory.
func allocate(n int) (*chunk, error) {
	if n > maxClass {
		mem, err := mapLocked(n)
		if err != nil {
			return nil, err
		}
		return newChunk(mem, n, nil), nil
	}
	return pools[class(n)].get(n)
}

// class is the index of the smallest pool that holds n bytes.
func class(n int) int {
	if n <= minClass {
		return 0
	}
	return bits.Len(uint(n-1)) - bits.Len(uint(minClass-1))
}

func (p *pool) get(n int) (*chunk, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.avail) == 0 {
		if err := p.grow(); err != nil {
			return nil, err
		}
	}
	s := p.avail[len(p.avail)-1]
	last := len(s.free) - 1
	mem := s.free[last]
	s.free = s.free[:last]
	if last == 0 {
		p.remove(s)
	}
	return newChunk(mem, n, s), nil
}

func (p *pool) grow() error {
	mem, err := mapLocked(slabSize)
	if err != nil {
		return err
	}
	s := &slab{pool: p, mem: mem, free: make([][]byte, 0, slabSize/p.size)}
	for off := slabSize - p.size; off >= 0; off -= p.size {
		s.free = append(s.free, mem[off:off+p.size:off+p.size])
	}
	p.add(s)
	return nil
}

// put takes back a wiped slot. One empty slab a class is kept, so that a lone
// secret that comes and goes does not map and unmap each time.
func (p *pool) put(s *slab, mem []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	s.free = append(s.free, mem)
	if s.at < 0 {
		p.add(s)
	}
	if len(s.free) == cap(s.free) && len(p.avail) > 1 {
		p.remove(s)
		unmapLocked(s.mem)
	}
}

func (p *pool) add(s *slab) {
	s.at = len(p.avail)
	p.avail = append(p.avail, s)
}

func (p *pool) remove(s *slab) {
	last := len(p.avail) - 1
	p.avail[s.at] = p.avail[last]
	p.avail[s.at].at = s.at
	p.avail[last] = nil
	p.avail = p.avail[:last]
	s.at = -1
}
