package policy_test

import (
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing"

	"github.com/secretfs/secretfs/policy"
)

// FuzzParse feeds the parser anything, YAML and JSON. It never panics, says
// where what is wrong, and what it takes keeps the promises of Policy: clean
// unique paths that exclude each other nowhere, and backends that are there.
func FuzzParse(f *testing.F) {
	seeds, err := filepath.Glob("testdata/*.yaml")
	if err != nil || len(seeds) == 0 {
		f.Fatalf("no seeds: %v", err)
	}
	for _, name := range seeds {
		text, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Add([]byte(treePolicy))
	f.Add([]byte(checkerPolicy))
	f.Add(bigPolicy(20))
	f.Add([]byte(`{"backends":{"m":{"type":"sops","file":"x"}},"secrets":{"a":null,"a/b":{"mode":"0400","only":{"units":["x.service"]}}}}`))
	f.Add([]byte(`{"a":1} {"b":2}`))
	f.Add([]byte("a: &x [*x]\n---\nb: !!binary 1\n<<: {}\n? {}\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := policy.Parse("/etc/f", data, policy.Env{Drivers: drivers})
		if err != nil {
			for line := range strings.Lines(err.Error()) {
				if !strings.HasPrefix(line, "/etc/f:") {
					t.Errorf("a problem has no place: %q", line)
				}
			}
			return
		}
		checkPromises(t, p)
	})
}

func checkPromises(t *testing.T, p *policy.Policy) {
	backends := map[string]bool{"": true}
	for _, b := range p.Backends {
		backends[b.Name] = true
	}
	tree := policy.NewTree(p)
	seen := map[string]bool{}
	check := func(name, backend string, perm *policy.Perm) {
		if name != "" && (name != path.Clean(name) || path.IsAbs(name) || strings.ContainsAny(name, "\n\x00")) ||
			name == "." || strings.HasPrefix(name, "..") && (len(name) == 2 || name[2] == '/') {
			t.Errorf("%q is not clean", name)
		}
		if seen[name] {
			t.Errorf("%q is there twice", name)
		}
		seen[name] = true
		if !backends[backend] {
			t.Errorf("%q is in backend %q, which is not there", name, backend)
		}
		if perm.Mode > 0o777 || perm.Owner == "" || perm.Group == "" {
			t.Errorf("%q has %+v", name, perm)
		}
		for dir := path.Dir(name); dir != "."; dir = path.Dir(dir) {
			if n, ok := tree.Lookup(dir); !ok || n.Kind != policy.Dir {
				t.Errorf("%q, which is above %q, is no directory", dir, name)
			}
		}
	}
	for _, s := range p.Secrets {
		check(s.Path, s.Backend, s.Perm)
		if n, ok := tree.Lookup(s.Path); !ok || n.Kind != policy.File || n.Key != s.Key || s.Backend == "" {
			t.Errorf("secret %q is %+v", s.Path, n)
		}
	}
	for _, d := range p.Dirs {
		check(d.Path, d.Backend, d.Perm)
	}
	if !path.IsAbs(p.Mount) || !path.IsAbs(p.Control) || !path.IsAbs(p.Audit.File) {
		t.Errorf("relative paths: %q %q %q", p.Mount, p.Control, p.Audit.File)
	}
}
