package bitwarden

import (
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/secretfs/secretfs/backend"
	"github.com/secretfs/secretfs/backend/bitwarden/vault"
)

// maxNames bounds how many states of secrets are named otherwise than by their
// ciphertext.
const maxNames = 10_000

// versions names the states of secrets. Clients encrypt the whole item anew
// whatever they change, so that a password may look new when its note was edited:
// what was read before is then compared with what it is now, and keeps its version if
// it is the same. Nobody is told, and nothing restarts. It is safe for concurrent
// use.
type versions struct {
	mu   sync.Mutex
	last map[string]*vault.Place // by key, what its version was last told of
	// names are the versions of ciphertexts that have that of an earlier one,
	// by digest.
	names map[string]backend.Version
}

func newVersions() *versions {
	return &versions{last: map[string]*vault.Place{}, names: map[string]backend.Version{}}
}

// of gives the version of what key leads to at a time.
func (n *versions) of(key string, p *vault.Place, now time.Time) (backend.Version, error) {
	if p.Changing() {
		return p.Version(now)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	last := n.last[key]
	if last != nil && last.Digest() == p.Digest() {
		return n.name(p), nil
	}
	if last != nil && n.names[p.Digest()] == "" && last.Same(p) && len(n.names) < maxNames {
		n.names[p.Digest()] = n.name(last)
	}
	last.Destroy()
	n.last[key] = p.Share()
	return n.name(p), nil
}

// follow looks at what was read before in a new vault, so that what is kept for
// the next process knows of it.
func (n *versions) follow(v *vault.Vault) {
	n.mu.Lock()
	keys := slices.Collect(maps.Keys(n.last))
	n.mu.Unlock()
	for _, key := range keys {
		if p, err := v.LookKey(key); err == nil {
			_, _ = n.of(key, p, time.Time{})
			p.Destroy()
		}
	}
}

// name is called with mu held.
func (n *versions) name(p *vault.Place) backend.Version {
	if v := n.names[p.Digest()]; v != "" {
		return v
	}
	return backend.Version(p.Digest())
}

// all are the names, for the next process.
func (n *versions) all() map[string]backend.Version {
	n.mu.Lock()
	defer n.mu.Unlock()
	return maps.Clone(n.names)
}

// restore takes over names of an earlier process.
func (n *versions) restore(names map[string]backend.Version) {
	n.mu.Lock()
	defer n.mu.Unlock()
	maps.Copy(n.names, names)
}

// wipe forgets the keys of what was read.
func (n *versions) wipe() {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, p := range n.last {
		p.Destroy()
	}
	clear(n.last)
}
