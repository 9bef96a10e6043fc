package harness

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Main runs the tests of a package and fails it if anything is left behind.
func Main(m *testing.M) int {
	code := m.Run()
	os.RemoveAll(scratch())
	if left := Leftovers(); len(left) > 0 {
		fmt.Fprintf(os.Stderr, "left behind:\n%s\n", strings.Join(left, "\n"))
		return 1
	}
	return code
}

// rootPrefix begins the names of this process's folders: other packages are
// tested at the same time.
func rootPrefix() string { return fmt.Sprintf("sfs%d-", os.Getpid()) }

// Leftovers lists mounts of ours that this process has made.
func Leftovers() (left []string) {
	mounts, _ := os.ReadFile("/proc/self/mounts")
	for line := range strings.Lines(string(mounts)) {
		if strings.Contains(line, " fuse.secretfs ") && strings.Contains(line, "/"+rootPrefix()) {
			left = append(left, strings.TrimSpace(line))
		}
	}
	return left
}

// Unmount ends the mount, lazily if it is busy.
func (m *Mount) Unmount() {
	m.t.Helper()
	if out, err := m.Run("umount", "--lazy"); err != nil {
		m.t.Logf("secretfs umount: %v\n%s", err, out)
	}
}

// remove takes everything away, whatever state the test left it in.
func (m *Mount) remove() {
	for _, sign := range []string{"\npanic: ", "\nfatal error: ", "DATA RACE"} {
		if strings.Contains("\n"+m.Log(), sign) { // the next worker hides it
			m.t.Errorf("secretfs has met with %q", strings.TrimSpace(sign))
		}
	}
	if _, err := os.Stat(m.Control); err == nil {
		m.Unmount()
	}
	for range 100 {
		if !m.mounted() && !m.running() {
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	for _, pid := range m.processes() {
		m.t.Errorf("process %d of the mount is left", pid)
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
	for m.mounted() {
		m.t.Errorf("%s is still mounted", m.Dir)
		if syscall.Unmount(m.Dir, syscall.MNT_DETACH|syscall.MNT_FORCE) != nil && exec.Command("fusermount3", "-uz", m.Dir).Run() != nil {
			break
		}
	}
	if m.t.Failed() {
		m.t.Logf("stderr of secretfs:\n%s", m.Log())
	}
	if err := os.RemoveAll(m.Root); err != nil {
		m.t.Errorf("removing the files of the mount: %v", err)
	}
}

func (m *Mount) mounted() bool {
	mounts, _ := os.ReadFile("/proc/self/mounts")
	return strings.Contains(string(mounts), " "+m.Dir+" ")
}

// Workers are the pids of this mount's workers that are not dead.
func (m *Mount) Workers() (pids []int) {
	for _, pid := range m.processes() {
		b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
		if strings.Contains(string(b), "\x00worker\x00") {
			pids = append(pids, pid)
		}
	}
	return pids
}

func (m *Mount) running() bool { return len(m.processes()) > 0 }

// processes are the holder and workers of this mount, by their command line.
func (m *Mount) processes() (pids []int) {
	files, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, f := range files {
		b, _ := os.ReadFile(f)
		argv := strings.Split(string(b), "\x00")
		if len(argv) >= 3 && (argv[1] == "holder" || argv[1] == "worker") && argv[2] == m.Policy {
			var pid int
			fmt.Sscanf(f, "/proc/%d/", &pid)
			pids = append(pids, pid)
		}
	}
	return pids
}
