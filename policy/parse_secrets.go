package policy

import (
	"path"
	"slices"
	"strings"

	"github.com/secretfs/secretfs/policy/conf"
)

// The keys of one secret and of one directory.
var (
	secretKeys    = append([]string{"backend", "key", "ttl", "max_stale", "wait"}, permKeys...)
	directoryKeys = append([]string{"backend", "prefix", "key", "dir_mode"}, permKeys...)
)

func (p *parser) readSecrets(f conf.Fields) {
	if n := f.Get("secrets"); n != nil {
		p.policy.Secrets = make([]Secret, 0, len(n.Keys()))
	}
	f.Each("secrets", func(key conf.Key, n *conf.Node) {
		f := conf.OpenAt(n, key.Pos, p.problems, p.secretKeys(n)...)
		s := Secret{Backend: p.backendOf(f, true), Perm: p.perm(f, p.policy.Default), Wait: f.Duration("wait", 0), Pos: key.Pos}
		var usable bool
		if s.Path, usable = p.path(key); !usable {
			return
		}
		b := p.find(s.Backend)
		s.Key = p.reference(f, b, s.Path)
		p.timing(f, b, s.Key)
		p.policy.Secrets = append(p.policy.Secrets, s)
	})
}

// secretKeys are the keys that the entry n may have: which ones depends on the
// type of its backend.
func (p *parser) secretKeys(n *conf.Node) []string {
	b := p.single()
	if given := n.Get("backend"); given != nil {
		b = p.find(given.Text)
	}
	if b == nil {
		return p.anySecretKeys() // that there is no such backend is said already
	}
	own := p.env.Drivers[b.Type].SecretKeys
	if len(own) == 0 {
		return secretKeys
	}
	return append(own[:len(own):len(own)], secretKeys...)
}

// anySecretKeys are the keys of secrets in backends of all types.
func (p *parser) anySecretKeys() []string {
	keys := slices.Clone(secretKeys)
	for _, name := range sortedKeys(p.env.Drivers) {
		keys = append(keys, p.env.Drivers[name].SecretKeys...)
	}
	slices.Sort(keys)
	return slices.Compact(keys)
}

// reference is the key under which b knows the secret at path.
func (p *parser) reference(f conf.Fields, b *Backend, path string) string {
	if b != nil {
		if driver := p.env.Drivers[b.Type]; driver.Reference != nil {
			return strings.Clone(driver.Reference(f, path, b.Config))
		}
	}
	if given := f.Text("key", path); given != path {
		return strings.Clone(given)
	}
	return path
}

// timing reads what a secret has of its own. Where two secrets have one key the
// stricter values hold for both.
func (p *parser) timing(f conf.Fields, b *Backend, key string) {
	if f.Get("ttl") == nil && f.Get("max_stale") == nil || b == nil {
		return
	}
	t := Timing{TTL: p.ttl(f, b.Type, b.TTL), MaxStale: f.Duration("max_stale", b.MaxStale)}
	if other, ok := b.Timings[key]; ok {
		t = Timing{TTL: min(t.TTL, other.TTL), MaxStale: min(t.MaxStale, other.MaxStale)}
	}
	if b.Timings == nil {
		b.Timings = map[string]Timing{}
	}
	b.Timings[key] = t
}

func (p *parser) readDirectories(f conf.Fields) {
	f.Each("directories", func(key conf.Key, n *conf.Node) {
		f := conf.OpenAt(n, key.Pos, p.problems, p.directoryKeys(n)...)
		d := Directory{Backend: p.backendOf(f, false), Perm: p.perm(f, p.policy.Default), Pos: key.Pos}
		d.DirMode = mode(f, "dir_mode", defaultDirMode)
		d.Key = p.directory(f, p.find(d.Backend))
		usable := key.Name == ""
		if !usable {
			d.Path, usable = p.path(key)
		}
		if usable {
			p.policy.Dirs = append(p.policy.Dirs, d)
		}
	})
}

// directoryKeys are the keys that the entry n of directories may have.
func (p *parser) directoryKeys(n *conf.Node) []string {
	var own []string
	if b := n.Get("backend"); b != nil {
		if b := p.find(b.Text); b != nil {
			own = p.env.Drivers[b.Type].DirectoryKeys
		}
	}
	return slices.Concat(directoryKeys, own)
}

// directory is the key of the directory that b shows in place of the entry.
func (p *parser) directory(f conf.Fields, b *Backend) string {
	if b != nil {
		if driver := p.env.Drivers[b.Type]; driver.Directory != nil {
			return strings.Clone(driver.Directory(f, b.Config))
		}
	}
	return p.subtree(f)
}

// subtree reads the key of a dynamic directory, which has two names: prefix
// says what it is, key is what secrets call it.
func (p *parser) subtree(f conf.Fields) string {
	name := "prefix"
	if f.Get("key") != nil {
		if f.Get("prefix") != nil {
			f.Addf("key", "prefix and key are given, which mean the same; give one")
		}
		name = "key"
	}
	if f.Get(name) != nil && f.Get("backend") == nil {
		f.Addf(name, "has a meaning together with a backend only")
	}
	return strings.Clone(strings.Trim(f.Text(name, ""), "/"))
}

// path checks the path of an entry. One with a mistake that is plain to mend
// is mended, so that its clashes with others are found in the same run.
func (p *parser) path(key conf.Key) (clean string, usable bool) {
	msg := checkPath(key.Name)
	if msg == "" {
		return strings.Clone(key.Name), true
	}
	p.problems.Addf(key.Pos, "the path %s", msg)
	clean = path.Clean(key.Name)
	return clean, checkPath(clean) == ""
}
