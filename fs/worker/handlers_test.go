package worker

import (
	"maps"
	"slices"
	"testing"

	"github.com/secretfs/secretfs/policy"
)

func TestAddBackends(t *testing.T) {
	perm := &policy.Perm{}
	p := &policy.Policy{
		Default: perm,
		Secrets: []policy.Secret{{Path: "app/a", Backend: "one", Perm: perm}, {Path: "app/b", Backend: "two", Perm: perm}, {Path: "c", Backend: "three", Perm: perm}},
		Dirs:    []policy.Directory{{Path: "vault", Backend: "four", Perm: perm}, {Path: "vault/own", Perm: perm}, {Path: "with", Backend: "five", Perm: perm}},
	}
	tree := policy.NewTree(p)
	for path, want := range map[string][]string{
		"app/a":          {"one"},
		"app":            {"one", "two"}, // a directory that has no backend itself
		"vault":          {"four"},
		"vault/deep":     {"four"},
		"vault/own/deep": {"four"},
		"":               {"five", "four", "one", "three", "two"},
	} {
		names := make(map[string]bool)
		if !addBackends(names, p, tree, path) {
			t.Errorf("%q is not there", path)
		}
		if got := slices.Sorted(maps.Keys(names)); !slices.Equal(got, want) {
			t.Errorf("%q: %q, want %q", path, got, want)
		}
	}
	for _, path := range []string{"ap", "app/x", "nowhere"} {
		if addBackends(make(map[string]bool), p, tree, path) {
			t.Errorf("%q is there", path)
		}
	}
}
