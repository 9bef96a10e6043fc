package caller

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// cgroup2 is where version 2 is mounted.
func cgroup2(t *testing.T) string {
	t.Helper()
	needRoot(t)
	for _, dir := range []string{"/sys/fs/cgroup", "/sys/fs/cgroup/unified"} {
		var fs unix.Statfs_t
		if unix.Statfs(dir, &fs) == nil && fs.Type == unix.CGROUP2_SUPER_MAGIC {
			return dir
		}
	}
	t.Skip("SKIPPED: no cgroup2 hierarchy is mounted")
	return ""
}

// makeCgroup makes what is missing of root/path, and removes that again.
func makeCgroup(t *testing.T, root, path string) string {
	t.Helper()
	dir := root
	for name := range strings.SplitSeq(strings.Trim(path, "/"), "/") {
		dir = filepath.Join(dir, name)
		switch err := os.Mkdir(dir, 0o755); {
		case err == nil:
			made := dir
			t.Cleanup(func() {
				if err := os.Remove(made); err != nil {
					t.Errorf("leaving a cgroup behind: %v", err)
				}
			})
		case errors.Is(err, unix.EEXIST):
		case errors.Is(err, unix.EACCES), errors.Is(err, unix.EPERM), errors.Is(err, unix.EROFS):
			t.Skipf("SKIPPED: making cgroups is not permitted: %v", err)
		default:
			t.Fatal(err)
		}
	}
	return dir
}

// What a user makes below the own manager is not a system unit, whatever its
// name; only the place in the tree tells.
func TestUnitOfRealCgroups(t *testing.T) {
	root := cgroup2(t)
	const manager = "/user.slice/user-64999.slice/user@64999.service"
	cases := []struct {
		path string
		want membership
	}{
		{"/secretfs-test.slice/mem0.service", membership{unit: "mem0.service"}},
		{"/secretfs-test.slice/mem0.service/sub/other.service", membership{unit: "mem0.service"}},
		{manager + "/mem0.service", membership{userUnit: "mem0.service"}},
		{manager + "/app.slice/mem0.service", membership{userUnit: "mem0.service"}},
		{manager + "/secretfs-test.slice/system.slice/mem0.service", membership{userUnit: "mem0.service"}},
		{"/secretfs-test/system.slice/mem0.service", membership{}},
		{"/secretfs-test.slice/systemd-nspawn@web.service/payload", membership{unit: "systemd-nspawn@web.service", container: "web"}},
	}
	p := openProc(t, "/proc")
	for _, c := range cases {
		t.Run(c.path, func(t *testing.T) {
			dir := makeCgroup(t, root, c.path)
			cmd := start(t, waiter())
			pid := strconv.Itoa(cmd.Process.Pid)
			if err := os.WriteFile(filepath.Join(dir, "cgroup.procs"), []byte(pid), 0); err != nil {
				t.Fatal(err)
			}
			got, err := p.Lookup(uint32(cmd.Process.Pid), 0, 0, 0)
			if err != nil || (membership{got.Unit, got.UserUnit, got.Container}) != c.want {
				t.Errorf("%+v, %v; want %+v", got, err, c.want)
			}
		})
	}
}
