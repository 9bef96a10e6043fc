package survive

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/secretfs/secretfs/tests/harness"
)

// field gives a line of /proc/PID/status.
func field(t *testing.T, proc, name string) string {
	t.Helper()
	b, err := os.ReadFile(proc + "/status")
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(`(?m)^` + name + `:\s*(.*)$`).FindSubmatch(b)
	if m == nil {
		t.Fatalf("%s/status has no %s", proc, name)
	}
	return string(m[1])
}

// TestWorkerIsLockedUp reads what the kernel says of the worker, thread by
// thread.
func TestWorkerIsLockedUp(t *testing.T) {
	m := harness.New(t, harness.Options{Plain: "a: one\n"})
	m.Read("a")
	m.KillWorker() // a later worker has to be like the first one
	m.Read("a")
	pid := m.Status().WorkerPID
	want := fmt.Sprintf("%016x", uint64(1)<<unix.CAP_DAC_READ_SEARCH|1<<unix.CAP_SYS_PTRACE|1<<unix.CAP_IPC_LOCK)
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*", pid))
	if err != nil || len(threads) < 2 {
		t.Fatalf("threads %v, %v", threads, err)
	}
	for _, proc := range threads {
		for name, want := range map[string]string{
			"CapEff": want, "CapPrm": want, "CapBnd": want, "CapInh": "0000000000000000", "CapAmb": "0000000000000000", "NoNewPrivs": "1",
		} {
			if got := field(t, proc, name); got != want {
				t.Errorf("%s: %s is %s, want %s", proc, name, got, want)
			}
		}
	}
	proc := fmt.Sprintf("/proc/%d", pid)
	if got := field(t, proc, "VmLck"); got == "0 kB" {
		t.Error("nothing is locked in memory")
	}
	limits, err := os.ReadFile(proc + "/limits")
	if err != nil || !regexp.MustCompile(`(?m)^Max core file size +0 +0 `).Match(limits) {
		t.Errorf("core dumps: %v\n%s", err, limits)
	}
	lockedMounts(t, m, proc)
}

// lockedMounts checks the worker's own view of the mounts: all read-only but the
// audit log's folder, and neither ours nor others among them.
func lockedMounts(t *testing.T, m *harness.Mount, proc string, others ...*harness.Mount) {
	t.Helper()
	mounts, err := os.ReadFile(proc + "/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	writable := 0
	for line := range strings.Lines(string(mounts)) {
		head, tail, _ := strings.Cut(line, " - ")
		fields := strings.Fields(head)
		for _, o := range append(others, m) {
			if strings.HasPrefix(tail, "fuse.secretfs ") && strings.Contains(line, o.Root) {
				t.Errorf("a secretfs mount is there: %s", line)
			}
		}
		if strings.HasPrefix(fields[5], "ro") {
			continue
		}
		if fields[4] != filepath.Dir(m.AuditLog) {
			t.Errorf("writable: %s", line)
		}
		writable++
	}
	if writable != 1 {
		t.Errorf("%d writable mounts, want the audit log's folder alone", writable)
	}
}

// TestWorkerCannotWrite goes into the worker's mount namespace, with all of
// root's rights but the one to change mounts.
func TestWorkerCannotWrite(t *testing.T) {
	m := harness.New(t, harness.Options{Plain: "a: one\n"})
	inside := func(script string, args ...string) (string, error) {
		argv := append([]string{
			"-t", fmt.Sprint(m.Status().WorkerPID), "-m", "setpriv", "--bounding-set=-sys_admin", "--inh-caps=-sys_admin", "sh", "-c", script, "sh",
		}, args...)
		out, err := exec.Command("nsenter", argv...).CombinedOutput()
		return string(out), err
	}
	for _, dir := range []string{m.Root, "/", "/tmp", "/run", "/etc", "/var/tmp", "/dev/shm", "/dev", "/proc/sys/kernel/core_pattern"} {
		if info, err := os.Stat(dir); err != nil {
			continue
		} else if info.IsDir() {
			dir += "/secretfs-escape"
		}
		if out, err := inside(`echo x > "$1"`, dir); err == nil || !strings.Contains(out, "Read-only file system") {
			t.Errorf("writing %s: %v, %s", dir, err, out)
			_ = os.Remove(dir)
		}
	}
	if out, err := inside("mount -o remount,rw /"); err == nil {
		t.Errorf("remounting / worked: %s", out)
	}
	if out, err := inside(`: > "$1"/probe && rm "$1"/probe`, filepath.Dir(m.AuditLog)); err != nil {
		t.Errorf("writing to the audit log's folder: %v, %s", err, out)
	}
}

// TestUserWorkerIsNotDumpable: the files of /proc/PID of a process that is not
// dumpable belong to root (proc(5)).
func TestUserWorkerIsNotDumpable(t *testing.T) {
	m := userMount(t, "a: one\n")
	proc := fmt.Sprintf("/proc/%d", m.Status().WorkerPID)
	if got := field(t, proc, "NoNewPrivs"); got != "1" {
		t.Errorf("NoNewPrivs is %s", got)
	}
	var s unix.Stat_t
	if err := unix.Stat(proc+"/environ", &s); err != nil || s.Uid != 0 {
		t.Errorf("/proc/PID/environ belongs to %d, %v: it can be attached to", s.Uid, err)
	}
}

// TestRootWorkerIsNotDumpable gives root's program another group: it shows who
// the files of /proc/PID belong to, the process or root (proc(5)).
func TestRootWorkerIsNotDumpable(t *testing.T) {
	m := harness.New(t, harness.Options{Plain: "a: one\n", NoMount: true, Wrap: []string{"setpriv", "--regid=65534", "--clear-groups"}})
	m.Mount()
	m.KillWorker()
	s := m.Status()
	for pid, want := range map[int]uint32{s.WorkerPID: 0, s.HolderPID: nobody} {
		var st unix.Stat_t
		if err := unix.Stat(fmt.Sprintf("/proc/%d/mem", pid), &st); err != nil || st.Gid != want {
			t.Errorf("/proc/%d/mem belongs to group %d, %v, want %d", pid, st.Gid, err, want)
		}
	}
}

// TestWorkerLeavesOtherMounts starts a worker while other mounts are there, one of
// them covered: what is unmounted later must not live on in its mount namespace.
func TestWorkerLeavesOtherMounts(t *testing.T) {
	other, user := harness.New(t, harness.Options{Plain: "a: one\n"}), userMount(t, "a: one\n")
	copied, file := other.Root+"/copied", other.Root+"/file"
	bind(t, other.Dir, copied, true)
	bind(t, other.Path("a"), file, false)
	cover(t, other)
	m := harness.New(t, harness.Options{Plain: "a: one\n"})
	for range 2 {
		lockedMounts(t, m, fmt.Sprintf("/proc/%d", m.Status().WorkerPID), user, other)
		m.KillWorker()
	}
	for _, o := range []*harness.Mount{user, other} {
		before := killHolder(t, o)
		for mountsOn(t, o.Dir) > 0 {
			if err := unix.Unmount(o.Dir, unix.MNT_DETACH); err != nil {
				t.Fatal(err)
			}
		}
		if o == other {
			for _, dir := range []string{copied, file} {
				if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
					t.Fatal(err)
				}
			}
		}
		gone(t, o, before.WorkerPID)
	}
}

// cover mounts a tmpfs with a file "x" on top of a mount, for this test.
func cover(t *testing.T, m *harness.Mount) {
	t.Helper()
	if err := unix.Mount("none", m.Dir, "tmpfs", 0, ""); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(m.Dir+"/x", []byte("on top"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for mountsOn(t, m.Dir) > 0 {
			if err := unix.Unmount(m.Dir, unix.MNT_DETACH); err != nil {
				t.Fatal(err)
			}
		}
	})
}
