package caller

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"syscall"
	"testing"

	"github.com/secretfs/secretfs/policy"
	"golang.org/x/sys/unix"
)

func fileID(t *testing.T, path string) policy.FileID {
	t.Helper()
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		t.Fatal(err)
	}
	return policy.FileID{Dev: st.Dev, Ino: st.Ino}
}

// The header has the thread, not the process; both ways to tell must agree.
func TestLookupOfAThread(t *testing.T) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	groups, err := os.Getgroups()
	if err != nil {
		t.Fatal(err)
	}
	p := openProc(t, "/proc")
	for _, tid := range []int{os.Getpid(), unix.Gettid()} {
		for _, needs := range []Needs{NeedFile, NeedFile | NeedInit, NeedAll} {
			c, err := p.Lookup(uint32(tid), uint32(os.Geteuid()), uint32(os.Getegid()), needs)
			if err != nil {
				t.Fatal(err)
			}
			if int(c.PID) != os.Getpid() || int(c.TID) != tid || c.Init || c.Exe != exe || c.File != fileID(t, exe) {
				t.Errorf("thread %d with needs %b: %+v", tid, needs, c)
			}
			if needs&NeedPower != 0 && len(c.Groups) != len(groups) {
				t.Errorf("groups %v, want %v", c.Groups, groups)
			}
		}
	}
}

// With a child PID namespace of its own the caller is its PID 1 there.
func TestLookupOfAnInit(t *testing.T) {
	needRoot(t)
	cmd := waiter()
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWPID}
	start(t, cmd)
	p := openProc(t, "/proc")
	for _, needs := range []Needs{NeedInit, NeedAll} {
		c, err := p.Lookup(uint32(cmd.Process.Pid), 0, 0, needs)
		if err != nil || !c.Init || int(c.PID) != cmd.Process.Pid {
			t.Errorf("needs %b: %+v, %v", needs, c, err)
		}
	}
}

func TestLookupOfADeadThread(t *testing.T) {
	p := openProc(t, "/proc")
	cmd := start(t, waiter())
	task, err := p.open(uint32(cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	defer task.close()
	kill(t, cmd)
	if _, err := p.Lookup(uint32(cmd.Process.Pid), 0, 0, NeedAll); !errors.Is(err, ErrGone) {
		t.Errorf("look-up: %v, want %v", err, ErrGone)
	}
	var c policy.Caller
	if err := task.identify(&c, 0); !errors.Is(err, ErrGone) {
		t.Errorf("death in the middle of a look-up: %v, want %v", err, ErrGone)
	}
}

func kill(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // it was killed
}

// This is why no start time is compared: a descriptor of /proc/TID never shows
// the next process of that number.
func TestANumberUsedAgainIsNotMixedUp(t *testing.T) {
	needRoot(t)
	p := openProc(t, "/proc")
	for range 100 { // others fork too
		old := start(t, waiter())
		pid := old.Process.Pid
		task, err := p.open(uint32(pid))
		if err != nil {
			t.Fatal(err)
		}
		kill(t, old)
		if err := os.WriteFile("/proc/sys/kernel/ns_last_pid", []byte(strconv.Itoa(pid-1)), 0); err != nil {
			task.close()
			t.Skipf("SKIPPED: choosing the next pid is not permitted: %v", err)
		}
		next := start(t, waiter())
		if next.Process.Pid != pid {
			task.close()
			kill(t, next)
			continue
		}
		if _, err := p.Lookup(uint32(pid), 0, 0, NeedAll); err != nil {
			t.Errorf("the next process: %v", err)
		}
		for _, name := range [][]byte{fileStatus, fileCgroup, fileUIDMap} {
			if text, err := task.read(name); !errors.Is(err, ErrGone) {
				t.Errorf("%s of the old process: %v and %d bytes", name, err, len(text))
			}
		}
		if link, err := task.readlink(linkExe); !errors.Is(err, ErrGone) {
			t.Errorf("exe of the old process: %s, %v", link, err)
		}
		var c policy.Caller
		for _, needs := range []Needs{0, NeedAll} {
			if err := task.identify(&c, needs); !errors.Is(err, ErrGone) {
				t.Errorf("the rest of a look-up with needs %b: %v, want %v", needs, err, ErrGone)
			}
		}
		task.close()
		return
	}
	t.Skip("SKIPPED: the number was never used again")
}

// An executable bound over another one in a user namespace has the other's
// path, but not its identity.
func TestAForgedExecutableIsNotTheRealOne(t *testing.T) {
	needRoot(t)
	real, err := exec.LookPath("true")
	if err == nil {
		real, err = filepath.EvalSymlinks(real)
	}
	if err != nil {
		t.Fatal(err)
	}
	const somebody = 64999
	dir, err := os.MkdirTemp("", "secretfs-forge") // t.TempDir is closed to others
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	evil := filepath.Join(dir, "evil")
	binary, err := os.ReadFile("/proc/self/exe")
	if err == nil {
		err = errors.Join(os.Chmod(dir, 0o755), os.WriteFile(evil, binary, 0o755))
	}
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(evil)
	cmd.Env = []string{roleEnv + "=forge", pathEnv + "=" + real}
	ids := []syscall.SysProcIDMap{{ContainerID: 0, HostID: somebody, Size: 1}}
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: unix.CLONE_NEWUSER | unix.CLONE_NEWNS, UidMappings: ids, GidMappings: ids,
		Credential: &syscall.Credential{NoSetGroups: true},
	}
	skipWithoutUserNS(t)
	start(t, cmd)

	c, err := openProc(t, "/proc").Lookup(uint32(cmd.Process.Pid), somebody, somebody, NeedAll)
	if err != nil {
		t.Fatal(err)
	}
	if c.Exe != real {
		t.Errorf("the path is %s, so nothing was forged; want %s", c.Exe, real)
	}
	if c.File == fileID(t, real) || c.File != fileID(t, evil) {
		t.Errorf("%v is taken for %s, it is %s", c.File, real, evil)
	}
	if want := []policy.IDRange{{First: somebody, Count: 1}}; !slices.Equal(c.UIDMap, want) || !slices.Equal(c.GIDMap, want) || !c.DACOverride {
		t.Errorf("root of a user namespace: %+v, want capabilities over %v", c, want)
	}
}

func skipWithoutUserNS(t *testing.T) {
	t.Helper()
	for _, file := range []string{"/proc/sys/user/max_user_namespaces", "/proc/sys/kernel/unprivileged_userns_clone"} {
		if text, err := os.ReadFile(file); err == nil && string(bytes.TrimSpace(text)) == "0" {
			t.Skipf("SKIPPED: user namespaces are not permitted (%s)", file)
		}
	}
}
