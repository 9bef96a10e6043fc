package policy

import (
	"slices"
	"strings"
)

// cycles finds backends whose credentials are secrets that the policy does not
// have, or that only they themselves could open.
func (p *parser) cycles() {
	var tree *Tree                     // made for who needs it
	needs := make(map[string][]string) // backend -> backends whose secrets open it
	for i := range p.policy.Backends {
		b := &p.policy.Backends[i]
		driver := p.env.Drivers[b.Type]
		if driver.Secrets == nil || b.Config == nil {
			continue
		}
		for _, path := range driver.Secrets(b.Config) {
			if tree == nil {
				tree = NewTree(p.policy)
			}
			n, ok := tree.Lookup(path)
			if !ok || n.Kind == Dir {
				p.problems.Addf(p.places[b.Name], "a credential of backend %q is the secret %q, which the policy does not have", b.Name, path)
				continue
			}
			needs[b.Name] = append(needs[b.Name], n.Backend)
		}
	}
	said := make(map[string]bool)
	for _, name := range sortedKeys(needs) {
		if way := p.circle(needs, name, nil); way != nil && !said[way[0]] {
			for _, on := range way {
				said[on] = true
			}
			p.problems.Addf(p.places[name], "nothing can open backend %q, its credentials go in a circle: %s", name, strings.Join(append(way, name), " -> "))
		}
	}
}

// circle is the way from name back to itself, or nil.
func (p *parser) circle(needs map[string][]string, name string, way []string) []string {
	if slices.Contains(way, name) {
		if way[0] == name {
			return way
		}
		return nil // another one's
	}
	way = append(way, name)
	for _, next := range needs[name] {
		if found := p.circle(needs, next, way); found != nil {
			return found
		}
	}
	return nil
}
