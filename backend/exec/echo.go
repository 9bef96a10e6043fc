package exec

import (
	"errors"
	"fmt"
	"hash/maphash"
	"sync"

	"github.com/secretfs/secretfs/backend"
)

const (
	// part is how many bytes in a row of a secret no error may show.
	part = 8
	// leastPart is how long a secret is that can be told from numbers and names.
	leastPart = 4
	// maxParts is of how many parts of one secret it is known that they are ones.
	maxParts = 8192
)

// echoes know the parts of the last values, so that a command that fails does not
// quote them: one that prints nothing cannot be held against its output. They keep
// hashes under a seed of this process, and no plaintext.
type echoes struct {
	seed maphash.Seed

	mu    sync.Mutex
	known map[string]parts // by key
}

// parts are the hashes of all runs of n bytes.
type parts struct {
	n      int
	hashes map[uint64]bool
}

func newEchoes() *echoes { return &echoes{seed: maphash.MakeSeed(), known: map[string]parts{}} }

// learn takes the place of what was known of key.
func (e *echoes) learn(key string, value []byte) {
	p := parts{n: min(len(value), part), hashes: map[uint64]bool{}}
	for i := 0; len(value) >= leastPart && i+p.n <= len(value) && i < maxParts; i++ {
		p.hashes[maphash.Bytes(e.seed, value[i:i+p.n])] = true
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.known[key] = p
}

// heard says whether text shows a part of the value of key.
func (e *echoes) heard(key, text string) bool {
	e.mu.Lock()
	p, ok := e.known[key]
	e.mu.Unlock()
	for i := 0; ok && i+p.n <= len(text); i++ {
		if p.hashes[maphash.String(e.seed, text[i:i+p.n])] {
			return true
		}
	}
	return false
}

func (e *echoes) forget() {
	e.mu.Lock()
	defer e.mu.Unlock()
	clear(e.known)
}

// discreet is err, or what may be told of it.
func (e *echoes) discreet(key, program string, err error) error {
	if !e.heard(key, err.Error()) {
		return err
	}
	kind := backend.ErrUnavailable
	for _, k := range []error{backend.ErrNotFound, backend.ErrCorrupt, backend.ErrRejected, backend.ErrUnsupported, backend.ErrLocked} {
		if errors.Is(err, k) {
			kind = k
		}
	}
	return fmt.Errorf("running %s: it failed, and what it said shows a part of the secret: %w", program, kind)
}
