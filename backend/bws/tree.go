package bws

import (
	"cmp"
	"slices"
	"strings"

	"github.com/secretfs/secretfs/backend"
)

// A folder is a project as a directory: file name -> secret.
type folder map[string]*item

// grow makes a directory of each project, and one called % of secrets without.
// Where two have the same name, all that have it carry their id.
func grow(items map[string]*item) map[string]folder {
	inside := map[project][]*item{}
	called := map[string]int{}
	for _, it := range items {
		if inside[it.project] == nil {
			called[it.project.name]++
		}
		inside[it.project] = append(inside[it.project], it)
	}
	tree := make(map[string]folder, len(inside))
	for p, its := range inside {
		tree[fileName(p.name, p.id, called[p.name] > 1)] = fill(its)
	}
	return tree
}

func fill(its []*item) folder {
	called := map[string]int{}
	for _, it := range its {
		called[it.name]++
	}
	f := make(folder, len(its))
	for _, it := range its {
		f[fileName(it.name, it.wire.ID, called[it.name] > 1)] = it
	}
	return f
}

func fileName(name, id string, ambiguous bool) string {
	if ambiguous {
		return backend.FileName(name, id)
	}
	if spelt := backend.FileName(name, ""); len(name) <= len(spelt) {
		return spelt
	}
	return backend.FileName(name, id) // cut: it may not be the only one that begins so
}

// at is what lies at a key that is a path of the tree: nil, false if nothing.
func (v *vault) at(key string) (it *item, dir bool) {
	if key == "" {
		return nil, true
	}
	top, name, below := strings.Cut(key, "/")
	f, ok := v.tree[top]
	if !below {
		return nil, ok
	}
	return f[name], false
}

// list names what lies below key.
func (v *vault) list(key string) (entries []backend.Entry) {
	if key == "" {
		for name := range v.tree {
			entries = append(entries, backend.Entry{Name: name, Dir: true})
		}
	} else {
		for name := range v.tree[key] {
			entries = append(entries, backend.Entry{Name: name})
		}
	}
	slices.SortFunc(entries, func(a, b backend.Entry) int { return cmp.Compare(a.Name, b.Name) })
	return entries
}
