package policy_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/secretfs/secretfs/policy"
)

func program(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
}

func running(paths ...string) *policy.Policy {
	return using(&policy.Perm{Owner: "0", Group: "0", Only: policy.Only{Executables: paths}})
}

// An upgrade switches a symlink; the rule goes on to mean what it points to.
func TestExecutablesFollowUpgrade(t *testing.T) {
	dir := t.TempDir()
	v1, v2, link := filepath.Join(dir, "v1"), filepath.Join(dir, "v2"), filepath.Join(dir, "current")
	program(t, v1, "1")
	program(t, v2, "2")
	if err := os.Symlink(v1, link); err != nil {
		t.Fatal(err)
	}
	e := policy.NewExecutables(time.Hour) // by kicks only
	run(t, e.Run)
	missing := filepath.Join(dir, "missing")
	e.Use(running(link, missing))
	if id, ok := e.File(link); !ok || id != idOf(t, v1) {
		t.Errorf("the link means %v, %v", id, ok)
	}
	if _, ok := e.File(missing); ok {
		t.Error("a missing program means a file")
	}
	if m := e.Missing(); len(m) != 1 || m[0].Path != missing || !errors.Is(m[0].Err, fs.ErrNotExist) {
		t.Errorf("missing are %v", m)
	}
	if err := os.Symlink(v2, link+".new"); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(link+".new", link); err != nil {
		t.Fatal(err)
	}
	program(t, missing, "3")
	e.Kick()
	eventually(t, "the upgrade is noticed", func() bool {
		id, ok := e.File(link)
		_, found := e.File(missing)
		return ok && id == idOf(t, v2) && found
	})
}

// As long as a rule means a file, no other file can get its number, even when
// it is deleted before anybody has looked again.
func TestExecutablesKeepTheNumber(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "program")
	program(t, path, "real")
	e := policy.NewExecutables(time.Hour)
	e.Use(running(path))
	defer e.Use(running())
	id, ok := e.File(path)
	if !ok {
		t.Fatal("not found")
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	for i := range 2000 {
		forged := filepath.Join(dir, strconv.Itoa(i))
		program(t, forged, "forged")
		if idOf(t, forged) == id {
			t.Fatal("another file has the number of the program")
		}
	}
}

func TestExecutablesCloseFiles(t *testing.T) {
	path := filepath.Join(t.TempDir(), "program")
	program(t, path, "x")
	open := func() int {
		fds, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		for _, fd := range fds {
			if target, err := os.Readlink("/proc/self/fd/" + fd.Name()); err == nil && target == path {
				n++
			}
		}
		return n
	}
	e := policy.NewExecutables(time.Hour)
	for range 5 {
		e.Use(running(path))
		e.Refresh()
	}
	if n := open(); n != 1 {
		t.Errorf("%d descriptors are open, want 1", n)
	}
	e.Use(running())
	if n := open(); n != 0 {
		t.Errorf("%d descriptors are open, want 0", n)
	}
}
