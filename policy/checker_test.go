package policy_test

import (
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/secretfs/secretfs/policy"
)

// newChecker returns a checker of that policy whose names and executables are
// looked up once, and nothing runs in the background.
func newChecker(t testing.TB, p *policy.Policy) *policy.Checker {
	t.Helper()
	passwd, group := filepath.Join(t.TempDir(), "passwd"), filepath.Join(t.TempDir(), "group")
	for file, text := range map[string]string{passwd: passwdText, group: groupText} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	k := &policy.Checker{
		Tree:        policy.NewTree(p),
		Names:       policy.NewNames(policy.NamesConfig{Passwd: passwd, Group: group}),
		Executables: policy.NewExecutables(0),
	}
	k.Names.Use(p)
	k.Executables.Use(p)
	t.Cleanup(func() { k.Executables.Use(&policy.Policy{Default: p.Default}) })
	return k
}

func idOf(t testing.TB, path string) policy.FileID {
	t.Helper()
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		t.Fatal(err)
	}
	return policy.FileID{Dev: uint64(st.Dev), Ino: st.Ino}
}

const checkerPolicy = oneBackend + `
secrets:
  mem0/token: {owner: mem0, group: staff, mode: "0440"}
  mem0/narrow: {owner: mem0, mode: "0400", only: {executables: [/bin/sh], users: [mem0, ghost], groups: [staff]}}
  shut/x: {mode: "0444"}
  ghosts: {owner: ghost, mode: "0444"}
directories:
  shut: {owner: mem0, dir_mode: "0700"}
  apps: {backend: main, owner: mem0, mode: "0400", dir_mode: "0500"}
`

func TestChecker(t *testing.T) {
	k := newChecker(t, mustParse(t, checkerPolicy))
	mem0, stranger := user(501, 50), user(9, 9)
	sh := mem0
	sh.File = idOf(t, "/bin/sh")
	for _, c := range []struct {
		path   string
		caller policy.Caller
		want   string
	}{
		{"mem0/token", mem0, "mode 0440 owner"},
		{"mem0/token", user(9, 9, 50), "mode 0440 group staff"},
		{"mem0/token", stranger, "refused: mode 0440 of mem0:staff"},
		{"mem0/narrow", mem0, "refused: only: executables"},
		{"mem0/narrow", sh, "mode 0400 owner"},
		{"shut/x", stranger, "refused: search permission of shut/"},
		{"shut/x", mem0, "mode 0444 other"},
		{"ghosts", stranger, "refused: owner ghost is unknown"},
		{"apps/a/b", mem0, "mode 0400 owner"},
		{"apps/a/b", stranger, "refused: search permission of apps/"},
		{"none", mem0, "refused: "},
	} {
		n, _ := k.Tree.Lookup(c.path)
		d := k.File(&c.caller, c.path, n, policy.WantRead)
		got := d.Rule
		if !d.Allowed {
			got = "refused: " + got
		}
		if got != c.want {
			t.Errorf("%s by %d: %s, want %s", c.path, c.caller.UID, got, c.want)
		}
	}
}

func TestCheckerDirectories(t *testing.T) {
	k := newChecker(t, mustParse(t, checkerPolicy))
	mem0, stranger := user(501, 50), user(9, 9)
	for _, c := range []struct {
		path   string
		caller policy.Caller
		want   policy.Want
		allow  bool
	}{
		{"", stranger, read | exec, true},
		{"", stranger, write, false},
		{"shut", mem0, read | exec, true},
		{"shut", stranger, read, false},
		{"shut", stranger, 0, true}, // it can be seen in the root directory
		{"apps/a", stranger, 0, false},
		{"apps/a", mem0, read, true},
		{"none", mem0, read, false},
	} {
		n, _ := k.Tree.Lookup(c.path)
		if d := k.Dir(&c.caller, c.path, n, c.want); d.Allowed != c.allow {
			t.Errorf("%o of %q by %d: %+v", c.want, c.path, c.caller.UID, d)
		}
	}
}

func TestCheckerOwned(t *testing.T) {
	k := newChecker(t, mustParse(t, checkerPolicy))
	for _, c := range []struct {
		path  string
		isDir bool
		want  policy.Owned
	}{
		{"mem0/token", false, file(501, 50, 0o440)},
		{"mem0", true, dir(0, 0, 0o755)},
		{"shut", true, dir(501, 0, 0o700)},
		{"apps/x", false, file(501, 0, 0o400)},
		{"apps/x", true, dir(501, 0, 0o500)},
		{"ghosts", false, file(0, 0, 0o400)},
	} {
		n, _ := k.Tree.Lookup(c.path)
		if got := k.Owned(n, c.isDir); got != c.want {
			t.Errorf("%s is %+v, want %+v", c.path, got, c.want)
		}
	}
}

func BenchmarkCheck(b *testing.B) {
	k := newChecker(b, mustParse(b, checkerPolicy))
	c := user(501, 50)
	c.File = idOf(b, "/bin/sh")
	for _, path := range []string{"mem0/token", "mem0/narrow"} {
		b.Run(path, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				n, _ := k.Tree.Lookup(path)
				if !k.File(&c, path, n, policy.WantRead).Allowed {
					b.Fatal("refused")
				}
			}
		})
	}
}
