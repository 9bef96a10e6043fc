package policy

import (
	"slices"
	"strings"
	"time"

	"github.com/secretfs/secretfs/policy/conf"
)

// backendKeys are the keys of every backend, of whatever type.
var backendKeys = []string{"type", "timeout", "ttl", "max_stale", "in_flight", "offline", "offline_max_age"}

func (p *parser) readBackends(f conf.Fields) {
	f.Each("backends", func(key conf.Key, n *conf.Node) {
		if key.Name == "" || len(key.Name) > maxName || hasControl(key.Name) {
			p.problems.Addf(key.Pos, "want a name of 1 to %d bytes without control characters", maxName)
			return
		}
		b := p.backend(key, n)
		p.backends[b.Name] = b.Name
		p.places[b.Name] = key.Pos
		p.policy.Backends = append(p.policy.Backends, b)
	})
	slices.SortFunc(p.policy.Backends, func(a, b Backend) int { return strings.Compare(a.Name, b.Name) })
}

func (p *parser) backend(key conf.Key, n *conf.Node) Backend {
	b := Backend{Name: strings.Clone(key.Name)}
	if n.Kind != conf.Map {
		p.problems.Addf(n.Pos, "want a map with the type of the backend and its settings, have %v", n.Kind)
		return b
	}
	// What the driver keeps must not keep the whole document.
	all := n.Without()
	all.Pos = key.Pos
	f := conf.Open(all, p.problems, keyNames(all)...)
	b.Type = f.Required("type")
	b.Timeout = f.Duration("timeout", defaultTimeout)
	driver, known := p.env.Drivers[b.Type]
	b.TTL = p.ttl(f, b.Type, driver.TTL)
	b.MaxStale = f.Duration("max_stale", defaultMaxStale)
	b.InFlight = f.Count("in_flight", defaultInFlight)
	p.offline(f, &b, driver)
	b.Disk = driver.Disk || b.Offline != nil
	p.policy.KeepsState = p.policy.KeepsState || b.Disk
	if b.Timeout < time.Millisecond {
		f.Addf("timeout", "must be at least 1ms")
	}
	b.Settings = all.Without(backendKeys...)
	switch {
	case known:
		b.Config = driver.Settings(b.Settings, p.dir, p.problems)
	case b.Type != "":
		f.Addf("type", "unknown type of backend %q%s", b.Type, conf.Suggest(b.Type, sortedKeys(p.env.Drivers)))
	}
	return b
}

// offline reads what is kept over a reboot of a type of backend that is asked.
func (p *parser) offline(f conf.Fields, b *Backend, driver Driver) {
	b.OfflineMaxAge = f.Duration("offline_max_age", defaultOffline)
	n := f.Get("offline")
	switch _, known := p.env.Drivers[b.Type]; {
	case !known:
	case n != nil && driver.OwnCopies:
		f.Addf("offline", "leave it out: a backend of type %s keeps a copy by itself, encrypted as it came", b.Type)
	case n != nil && driver.TTL == 0:
		f.Addf("offline", "has no meaning in a backend of type %s, which is on this machine", b.Type)
	case n != nil && p.env.Offline != nil:
		b.Offline = p.env.Offline(n, p.dir, p.problems)
	case f.Get("offline_max_age") != nil && !driver.OwnCopies:
		f.Addf("offline_max_age", "has a meaning together with offline only")
	}
}

// ttl reads how long a value is served without asking, for a type of backend
// that is asked.
func (p *parser) ttl(f conf.Fields, kind string, fallback time.Duration) time.Duration {
	if driver, known := p.env.Drivers[kind]; known && driver.TTL == 0 && f.Get("ttl") != nil {
		f.Addf("ttl", "has no meaning in a backend of type %s, which notices changes by itself", kind)
	}
	return f.Duration("ttl", fallback)
}

// keyNames makes Open accept every key: which ones there are is known to the
// driver.
func keyNames(n *conf.Node) []string {
	names := make([]string, len(n.Keys()))
	for i, k := range n.Keys() {
		names[i] = k.Name
	}
	return names
}

// backendOf reads which backend an entry of secrets or directories is in. It
// is "" where there is a problem, or where none is given and none is needed.
func (p *parser) backendOf(f conf.Fields, needed bool) string {
	n := f.Get("backend")
	if n == nil {
		single := p.single()
		switch {
		case !needed:
		case single != nil:
			return single.Name
		default:
			f.Addf("backend", "backend is missing%s", conf.Suggest("", sortedKeys(p.backends)))
		}
		return ""
	}
	given := f.Text("backend", "")
	name, known := p.backends[given]
	if !known && n.Kind == conf.Text {
		f.Addf("backend", "unknown backend %q%s", given, conf.Suggest(given, sortedKeys(p.backends)))
	}
	return name
}

// single is the backend, if there is only one: it need not be named.
func (p *parser) single() *Backend {
	if len(p.policy.Backends) != 1 {
		return nil
	}
	return &p.policy.Backends[0]
}

// find is the backend of that name, or nil.
func (p *parser) find(name string) *Backend {
	i, ok := slices.BinarySearchFunc(p.policy.Backends, name, func(b Backend, name string) int {
		return strings.Compare(b.Name, name)
	})
	if !ok {
		return nil
	}
	return &p.policy.Backends[i]
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
