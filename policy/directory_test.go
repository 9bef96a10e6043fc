package policy_test

import (
	"strings"
	"testing"

	"github.com/secretfs/secretfs/policy"
	"github.com/secretfs/secretfs/policy/conf"
)

// folders is a driver whose directories are not sub-trees of keys.
var folders = policy.Driver{
	Settings: drivers["sops"].Settings, DirectoryKeys: []string{"folder"},
	Directory: func(f conf.Fields, config any) string {
		return "<" + f.Text("folder", "") + "|" + f.Text("prefix", "") + "|" + config.(string) + ">"
	},
}

func TestDirectoryOfItsOwnKind(t *testing.T) {
	env := policy.Env{Drivers: policy.Drivers{"sops": drivers["sops"], "far": folders}}
	const backends = "backends: {main: {type: sops, file: s.yaml}, far: {type: far, file: x}}\n"
	p, err := policy.Parse("/p.yaml", []byte(backends+"directories:\n  a: {backend: far, folder: f, prefix: //p/}\n  b: {backend: main, prefix: x}\n  c: {owner: root}\n"), env)
	if err != nil {
		t.Fatal(err)
	}
	if got := p.Dirs[0].Key; got != "<f|//p/|/x>" {
		t.Errorf("key %q", got)
	}
	tree := policy.NewTree(p)
	for path, want := range map[string]string{"a": "<f|//p/|/x>", "a/b/c": "<f|//p/|/x>/b/c", "b/y": "x/y"} {
		if n, ok := tree.Lookup(path); !ok || n.Key != want {
			t.Errorf("%s: key %q, %v, want %q", path, n.Key, ok, want)
		}
	}
	_, err = policy.Parse("/p.yaml", []byte(backends+"directories:\n  b: {backend: main, folder: f}\n"), env)
	if err == nil || !strings.Contains(err.Error(), "folder") {
		t.Errorf("a key of another type of backend: %v", err)
	}
}
