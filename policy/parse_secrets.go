package policy

import (
	"path"
	"strings"

	"github.com/secretfs/secretfs/policy/conf"
)

// The keys of one secret and of one directory.
var (
	secretKeys    = append([]string{"backend", "key"}, permKeys...)
	directoryKeys = append([]string{"backend", "prefix", "key", "dir_mode"}, permKeys...)
)

func (p *parser) readSecrets(f conf.Fields) {
	if n := f.Get("secrets"); n != nil {
		p.policy.Secrets = make([]Secret, 0, len(n.Keys()))
	}
	f.Each("secrets", func(key conf.Key, n *conf.Node) {
		f := conf.OpenAt(n, key.Pos, p.problems, secretKeys...)
		s := Secret{Backend: p.backendOf(f, true), Perm: p.perm(f, p.policy.Default), Pos: key.Pos}
		var usable bool
		if s.Path, usable = p.path(key); !usable {
			return
		}
		s.Key = s.Path
		if given := f.Text("key", s.Path); given != s.Path {
			s.Key = strings.Clone(given)
		}
		p.policy.Secrets = append(p.policy.Secrets, s)
	})
}

func (p *parser) readDirectories(f conf.Fields) {
	f.Each("directories", func(key conf.Key, n *conf.Node) {
		f := conf.OpenAt(n, key.Pos, p.problems, directoryKeys...)
		d := Directory{Backend: p.backendOf(f, false), Perm: p.perm(f, p.policy.Default), Pos: key.Pos}
		d.DirMode = mode(f, "dir_mode", defaultDirMode)
		d.Key = p.subtree(f)
		usable := key.Name == ""
		if !usable {
			d.Path, usable = p.path(key)
		}
		if usable {
			p.policy.Dirs = append(p.policy.Dirs, d)
		}
	})
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
