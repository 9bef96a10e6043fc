package permission

import (
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/secretfs/secretfs/tests/harness"
	"golang.org/x/sys/unix"
)

// What differs from a tmpfs: a descriptor of a directory does not spare its holder
// the search permission of those on the way; and stat(2) does not ask for it.
func TestHolderOfADirectory(t *testing.T) {
	harness.NeedRoot(t)
	tmpfs := t.TempDir()
	if err := os.Chmod(filepath.Dir(tmpfs), 0o755); err != nil { // t.TempDir is root's alone
		t.Fatal(err)
	}
	if err := unix.Mount("tmpfs", tmpfs, "tmpfs", 0, "mode=0755,size=1m"); err != nil {
		t.Skipf("SKIPPED: mounting a tmpfs is not permitted: %v", err)
	}
	t.Cleanup(func() { _ = unix.Unmount(tmpfs, unix.MNT_DETACH) })
	for _, err := range []error{
		os.MkdirAll(tmpfs+"/closed/d", 0o755),
		os.WriteFile(tmpfs+"/closed/d/f", []byte("value"), 0o444), os.Chmod(tmpfs+"/closed", 0o700),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	m := harness.New(t, harness.Options{
		Plain:  "v: value\n",
		Policy: "secrets: {closed/d/f: {key: v, mode: \"0444\"}}\ndirectories: {closed: {dir_mode: \"0700\"}}\n",
	})
	for _, c := range []struct {
		name, dir  string
		open, stat bool
	}{
		{"tmpfs", tmpfs, true, false},
		{"mount", m.Dir, false, true},
	} {
		d, err := os.Open(c.dir + "/closed/d")
		if err != nil {
			t.Fatal(err)
		}
		defer d.Close()
		if out, err := asNobody(d, "cat", "/proc/self/fd/3/f"); (err == nil) != c.open {
			t.Errorf("%s: reading below a descriptor: %v %s", c.name, err, out)
		}
		if out, err := asNobody(d, "stat", c.dir+"/closed/d/f"); (err == nil) != c.stat {
			t.Errorf("%s: stat: %v %s", c.name, err, out)
		}
	}
	records := m.Audit()
	if len(records) != 1 || records[0].Outcome != "refused" || records[0].Rule != "search permission of closed/" {
		t.Errorf("audit log: %+v", records)
	}
}

// asNobody runs a command as an ordinary user with d as descriptor 3.
func asNobody(d *os.File, command ...string) (string, error) {
	cmd := exec.Command(command[0], command[1:]...)
	cmd.ExtraFiles = []*os.File{d}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	out, err := cmd.CombinedOutput()
	return string(out), err
}
