package secret

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// vmFlags reads the VmFlags of the mapping that holds mem (proc_pid_smaps(5)).
func vmFlags(t *testing.T, mem []byte) string {
	t.Helper()
	smaps, err := os.ReadFile("/proc/self/smaps")
	if err != nil {
		t.Fatal(err)
	}
	at := uintptr(unsafe.Pointer(&mem[0]))
	found := false
	for line := range strings.Lines(string(smaps)) {
		var lo, hi uintptr
		if n, _ := fmt.Sscanf(line, "%x-%x ", &lo, &hi); n == 2 {
			found = lo <= at && at < hi
		}
		if flags, ok := strings.CutPrefix(line, "VmFlags: "); ok && found {
			return " " + strings.TrimSpace(flags) + " "
		}
	}
	t.Fatal("the mapping is not in smaps")
	return ""
}

func checkLocked(t *testing.T, mem []byte) {
	t.Helper()
	flags := vmFlags(t, mem)
	for _, want := range []string{" lo ", " dd ", " dc "} { // locked, don't dump, don't copy on fork
		if !strings.Contains(flags, want) {
			t.Errorf("VmFlags %q lack %q", flags, want)
		}
	}
}

func vmLck(t *testing.T) (kib int) {
	t.Helper()
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(status), "VmLck:")
	if _, err := fmt.Sscan(rest, &kib); err != nil {
		t.Fatal(err)
	}
	return kib
}

func TestPagesAreLockedAndNotDumped(t *testing.T) {
	before := vmLck(t)
	small, big := must(t, "small"), must(t, strings.Repeat("b", 1<<20))
	defer small.Destroy()
	checkLocked(t, small.chunk().mem)
	checkLocked(t, big.chunk().mem)
	if grown := vmLck(t) - before; grown < 1024 {
		t.Errorf("VmLck grew by %d KiB for a secret of 1 MiB", grown)
	}
	big.Destroy()
	if grown := vmLck(t) - before; grown > 512 {
		t.Errorf("VmLck is %d KiB higher after Destroy", grown)
	}
}

func needMemfd(t *testing.T) {
	t.Helper()
	fd, err := memfdSecret(os.Getpagesize())
	if errors.Is(err, ErrUnsupported) {
		t.Skip("no memfd_secret in this kernel")
	}
	if err != nil {
		t.Fatal(err)
	}
	_ = unix.Close(fd)
}

func TestOthersCannotReadIt(t *testing.T) {
	needMemfd(t)
	v := must(t, canary)
	defer v.Destroy()
	mem, err := os.Open("/proc/self/mem")
	if err != nil {
		t.Fatal(err)
	}
	defer mem.Close()
	buf := make([]byte, v.Len())
	n, err := mem.ReadAt(buf, int64(uintptr(unsafe.Pointer(&v.Bytes()[0]))))
	if n != 0 || err == nil {
		t.Errorf("read %d bytes through /proc/self/mem", n)
	}
}

func TestMemfdOutlivesItsMaker(t *testing.T) {
	needMemfd(t)
	for _, n := range []int{0, 1, 4096, 5000} {
		v := must(t, strings.Repeat("m", n))
		fd, err := Memfd(v)
		if err != nil {
			t.Fatal(err)
		}
		v.Destroy()
		m, err := MapFD(fd, n)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := MapFD(fd, 3*os.Getpagesize()); err == nil {
			t.Error("mapped more than the file has")
		}
		_ = unix.Close(fd)
		if !bytes.Equal(m.Bytes(), bytes.Repeat([]byte{'m'}, n)) {
			t.Errorf("%d bytes: content differs", n)
		}
		if flags := vmFlags(t, m.chunk().mem); strings.Contains(flags, " wr ") {
			t.Errorf("mapped writable: %s", flags)
		}
		m.Destroy()
	}
	if _, err := Memfd(&Value{}); err == nil {
		t.Error("a destroyed value was copied")
	}
}

// The descriptor crosses to another process that maps it.
func TestMemfdInAnotherProcess(t *testing.T) {
	needMemfd(t)
	v := must(t, canary)
	defer v.Destroy()
	fd, err := Memfd(v)
	if err != nil {
		t.Fatal(err)
	}
	out := runChild(t, "mapfd", func(c *exec.Cmd) {
		c.ExtraFiles = []*os.File{os.NewFile(uintptr(fd), "secret")}
	})
	if out != "same" {
		t.Errorf("the other process says %q", out)
	}
}

func TestLimitIsAnError(t *testing.T) {
	out := runChild(t, "limit", func(c *exec.Cmd) {
		c.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	})
	for _, part := range []string{"is ErrLimit true", "locking 1048576 bytes", "RLIMIT_MEMLOCK", "limit 131072 bytes", "65536 already used", "small one still works"} {
		if strings.Count(out, part) != 2 { // with memfd_secret and without
			t.Errorf("%q is not there twice: %s", part, out)
		}
	}
}

func TestHarden(t *testing.T) {
	out := runChild(t, "harden", nil)
	if want := "dumpable 0, core 0, locked true, slab fine"; out != want {
		t.Errorf("got %q want %q", out, want)
	}
}

func runChild(t *testing.T, role string, change func(*exec.Cmd)) string {
	t.Helper()
	cmd := exec.Command("/proc/self/exe") // the binary's folder may be closed to other users
	cmd.Env = append(os.Environ(), "SECRET_TEST_ROLE="+role)
	if change != nil {
		change(cmd)
	}
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v", role, err)
	}
	return strings.TrimSpace(string(out))
}
