package policy_test

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/secretfs/secretfs/policy"
)

const treePolicy = `
backends: {main: {type: sops, file: a}, kv: {type: sops, file: b}}
defaults: {owner: def}
secrets:
  top: {backend: main, key: k/top}
  a-b: {backend: main}
  a/x: {backend: main, owner: x}
  a/c/deep: {backend: main}
  a.b: {backend: main}
  apps/web/own: {backend: main, owner: web, mode: "0440"}
directories:
  a: {owner: a, dir_mode: "0700"}
  apps: {backend: kv, prefix: kv/apps, owner: apps, mode: "0440", dir_mode: "0750"}
  apps/shop: {owner: shop}
  apps/shop/inner: {backend: main}
  empty: {}
`

func show(n policy.Node, ok bool) string {
	if !ok {
		return "-"
	}
	kind := map[policy.NodeKind]string{policy.File: "file", policy.Dir: "dir", policy.Dynamic: "dynamic"}[n.Kind]
	return fmt.Sprintf("%s %s %s:%s %o %o", kind, n.Perm.Owner, n.Backend, n.Key, n.Perm.Mode, n.DirMode)
}

func TestTreeLookup(t *testing.T) {
	tree := policy.NewTree(mustParse(t, treePolicy))
	for _, c := range []struct{ path, want string }{
		{"", "dir def : 400 755"},
		{"top", "file def main:k/top 400 0"},
		{"a", "dir a : 400 700"},
		{"a/x", "file x main:a/x 400 0"},
		{"a/c", "dir def : 400 755"},
		{"a/c/deep", "file def main:a/c/deep 400 0"},
		{"a/none", "-"},
		{"none", "-"},
		{"top/below", "-"},
		{"a/c/deep/below/that", "-"},
		{"empty", "dir def : 400 755"},
		{"empty/x", "-"},
		// The backend decides what there is below a dynamic directory.
		{"apps", "dir apps kv:kv/apps 440 750"},
		{"apps/any", "dynamic apps kv:kv/apps/any 440 750"},
		{"apps/any/thing", "dynamic apps kv:kv/apps/any/thing 440 750"},
		// A secret in it hides the backend's, and its parents show both.
		{"apps/web", "dir apps kv:kv/apps/web 440 750"},
		{"apps/web/own", "file web main:apps/web/own 440 0"},
		{"apps/web/own/x", "-"},
		{"apps/web/other", "dynamic apps kv:kv/apps/web/other 440 750"},
		// An entry without a backend changes whose it is, not what is in it.
		{"apps/shop", "dir shop kv:kv/apps/shop 400 755"},
		{"apps/shop/x", "dynamic shop kv:kv/apps/shop/x 400 755"},
		// One with another backend is a tree of its own.
		{"apps/shop/inner", "dir def main: 400 755"},
		{"apps/shop/inner/x/y", "dynamic def main:x/y 400 755"},
	} {
		if got := show(tree.Lookup(c.path)); got != c.want {
			t.Errorf("%q is %q, want %q", c.path, got, c.want)
		}
	}
}

func TestTreeChildren(t *testing.T) {
	tree := policy.NewTree(mustParse(t, treePolicy))
	for _, c := range []struct {
		path, want string
		subdirs    int
	}{
		{"", "a/ a-b a.b apps/ empty/ top", 3},
		{"a", "c/ x", 1},
		{"a/c", "deep", 0},
		{"apps", "shop/ web/", 2},
		{"apps/web", "own", 0},
		{"apps/other", "", 0},
		{"empty", "", 0},
		{"top", "", 0},
		{"none", "", 0},
	} {
		var names []string
		for _, child := range tree.Children(c.path) {
			if child.Dir {
				child.Name += "/"
			}
			names = append(names, child.Name)
		}
		if got := strings.Join(names, " "); got != c.want {
			t.Errorf("%q holds %q, want %q", c.path, got, c.want)
		}
		if got := tree.Subdirs(c.path); got != c.subdirs {
			t.Errorf("%q has %d directories, want %d", c.path, got, c.subdirs)
		}
	}
}

func TestTreeAncestors(t *testing.T) {
	tree := policy.NewTree(mustParse(t, treePolicy))
	for _, c := range []struct{ path, want string }{
		{"", ""},
		{"top", "dir def : 400 755"},
		{"a/c/deep", "dir def : 400 755|dir a : 400 700|dir def : 400 755"},
		{"apps/x/y", "dir def : 400 755|dir apps kv:kv/apps 440 750|dynamic apps kv:kv/apps/x 440 750"},
	} {
		var got []string
		for _, n := range tree.Ancestors(nil, c.path) {
			got = append(got, show(n, true))
		}
		if got := strings.Join(got, "|"); got != c.want {
			t.Errorf("above %q are %q, want %q", c.path, got, c.want)
		}
	}
}

func TestTreeOfWholeFile(t *testing.T) {
	tree := policy.NewTree(mustParse(t, oneBackend+`directories: {"": {backend: main, owner: me}}`))
	for path, want := range map[string]string{
		"":    "dir me main: 400 755",
		"a":   "dynamic me main:a 400 755",
		"a/b": "dynamic me main:a/b 400 755",
	} {
		if got := show(tree.Lookup(path)); got != want {
			t.Errorf("%q is %q, want %q", path, got, want)
		}
	}
}

func TestEmptyTree(t *testing.T) {
	tree := policy.NewTree(mustParse(t, "{}"))
	if got := show(tree.Lookup("")); got != "dir root : 400 755" {
		t.Errorf("the root is %q", got)
	}
	if _, ok := tree.Lookup("a/b"); ok || len(tree.Children("")) != 0 {
		t.Error("an empty policy has secrets")
	}
}

// Every path of a big policy is found, and every directory lists exactly what
// lies in it.
func TestTreeWalk(t *testing.T) {
	var paths []string
	var doc strings.Builder
	doc.WriteString(oneBackend + "secrets:\n")
	for i := range 3000 {
		path := fmt.Sprintf("d%d/e-%d/s%d", i%7, i%31, i)
		if i%5 == 0 {
			path = fmt.Sprintf("f%d", i)
		}
		paths = append(paths, path)
		doc.WriteString("  " + path + ":\n")
	}
	tree := policy.NewTree(mustParse(t, doc.String()))
	var walked []string
	var walk func(dir string)
	walk = func(dir string) {
		children := tree.Children(dir)
		if !slices.IsSortedFunc(children, func(a, b policy.Child) int { return strings.Compare(a.Name, b.Name) }) {
			t.Errorf("%q is not sorted", dir)
		}
		for _, c := range children {
			path := strings.TrimPrefix(dir+"/"+c.Name, "/")
			n, ok := tree.Lookup(path)
			if !ok || c.Dir != (n.Kind == policy.Dir) {
				t.Errorf("%q is listed and looked up differently", path)
			}
			if c.Dir {
				walk(path)
			} else {
				walked = append(walked, path)
			}
		}
	}
	walk("")
	slices.Sort(paths)
	slices.Sort(walked)
	if !reflect.DeepEqual(paths, walked) {
		t.Errorf("walked %d paths of %d", len(walked), len(paths))
	}
}

func BenchmarkLookup(b *testing.B) {
	tree := load(b, bigPolicy(10_000))
	b.ReportAllocs()
	for b.Loop() {
		if _, ok := tree.Lookup("service-042/secret-001042"); !ok {
			b.Fatal("not found")
		}
	}
}
