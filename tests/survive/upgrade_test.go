package survive

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/secretfs/secretfs/fs/table"
	"github.com/secretfs/secretfs/tests/harness"
)

// TestUpgradeToSomethingElse must not give the mount away, and must say why.
func TestUpgradeToSomethingElse(t *testing.T) {
	m := harness.New(t, harness.Options{Plain: "a: one\n"})
	before := m.Status()
	scripts := map[string]string{
		"ends":   "#!/bin/sh\nexit 1\n",
		"text":   "no program at all\n",
		"layout": "#!/bin/sh\necho secretfs 9.9\necho 'table    sfntab99'\n",
		"goes":   "#!/bin/sh\nrm \"$0\"\necho secretfs 9.9\n", // between our look and exec(2)
	}
	for name, text := range scripts {
		if err := os.WriteFile(filepath.Join(m.Root, name), []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for program, want := range map[string]string{
		m.Root + "/ends":     "asking it for its version: exit status 1",
		m.Root + "/text":     "exec format error",
		m.Root + "/layout":   "its node table has layout sfntab99, the one of this mount is " + table.Layout(),
		m.Root + "/goes":     "upgrading: starting " + m.Root + "/goes: no such file or directory",
		m.Root + "/nothing":  "no such file or directory",
		m.Root + "/keys.txt": "permission denied",
		"/bin/true":          "it is another program",
	} {
		refusesUpgrade(t, m, before, program, want, program+": ")
	}
	m.Must("upgrade")
	if out := m.Must("status", "--json"); !strings.Contains(out, `"upgrade_error": ""`) {
		t.Errorf("after one that worked, status says\n%s", out)
	}
}

// TestUpgradeToAProgramThatEnds takes the holder with it, not the mount.
func TestUpgradeToAProgramThatEnds(t *testing.T) {
	m := harness.New(t, harness.Options{Plain: "a: one\n"})
	before := m.Status()
	script := m.Root + "/script"
	if err := os.WriteFile(script, []byte("#!/bin/sh\n[ \"$1\" = version ] && exec echo secretfs 9.9\nexit 1\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	refusesUpgrade(t, m, before, script, "upgrading: "+script+" has ended at once, and the holder with it")
	m.Mount()
	if now := m.Status(); now.HolderPID == before.HolderPID || m.Read("a") != "one" {
		t.Errorf("the next holder: %+v", now)
	}
}

// refusesUpgrade checks that an upgrade exits with code 1 and says why, and that
// holder and worker serve on.
func refusesUpgrade(t *testing.T, m *harness.Mount, before harness.Status, program string, want ...string) {
	t.Helper()
	out, err := m.Run("upgrade", "--program", program)
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 1 {
		t.Errorf("upgrade to %s: %v, want exit code 1", program, err)
	}
	for _, w := range want {
		if !strings.Contains(out, w) {
			t.Errorf("upgrade to %s says\n%s\nwant %q", program, out, w)
		}
	}
	if now := m.Status(); now.WorkerPID != before.WorkerPID || now.HolderPID != before.HolderPID {
		t.Errorf("upgrade to %s: before %+v, now %+v", program, before, now)
	}
	if got := m.Read("a"); got != "one" {
		t.Errorf("upgrade to %s: then it reads %q", program, got)
	}
}

// TestAnotherTableLayout marks the node table of a mount as an older program's,
// which the worker that has mapped it does not notice. Neither an upgrade nor the
// next holder may end that worker.
func TestAnotherTableLayout(t *testing.T) {
	m := harness.New(t, harness.Options{Plain: "a: one\n"})
	before := m.Status()
	now, older := table.Layout(), table.Layout()[:7]+"0"
	markTable(t, before.HolderPID, now[7], older[7])
	m.Read("a")
	refusesUpgrade(t, m, before, harness.Program(t), "its node table has layout "+now+", the one of this mount is "+older)

	// A program that does not tell has to find out when its worker begins.
	silent := m.Root + "/silent"
	script := fmt.Sprintf("#!/bin/sh\n[ \"$1\" = version ] && exec echo secretfs 0.0\nexec %s \"$@\"\n", harness.Program(t))
	if err := os.WriteFile(silent, []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	refusesUpgrade(t, m, before, silent,
		"upgrading: worker keeps dying: the last one: worker ended with exit code 1: taking over the node table: its layout is "+older)

	killHolder(t, m)
	if out, err := m.TryMount(); err == nil || !strings.Contains(out, "taking over the node table: its layout is "+older) {
		t.Errorf("the next holder: %v\n%s", err, out)
	}
	if is := m.Status().WorkerPID; is != before.WorkerPID {
		t.Errorf("the worker was %d and is %d", before.WorkerPID, is)
	}
	if got := m.Read("a"); got != "one" {
		t.Errorf("got %q", got)
	}
}

// markTable changes the last digit of the layout's name, in the table that a
// holder keeps; not every thread of it shares its descriptors.
func markTable(t *testing.T, holder int, digit, other byte) {
	t.Helper()
	links, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/fd/*", holder))
	for _, link := range links {
		if to, _ := os.Readlink(link); !strings.HasPrefix(to, "/memfd:secretfs-table") {
			continue
		}
		f, err := os.OpenFile(link, os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		name := make([]byte, 8) // a number, in the machine's order of bytes
		if _, err := unix.Pread(int(f.Fd()), name, 0); err != nil {
			t.Fatal(err)
		}
		at := strings.IndexByte(string(name), digit)
		if _, err := f.WriteAt([]byte{other}, int64(at)); err != nil {
			t.Fatal(err)
		}
		return
	}
	t.Fatalf("process %d has no node table", holder)
}
