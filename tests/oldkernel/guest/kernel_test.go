package guest

import (
	"fmt"
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// A kernel is what the running one can do by its version, as the README has it.
type kernel struct {
	release             string
	major, minor        int
	passthrough, resend bool // Linux 6.9
	memfdSecret         bool // asked for, as it can be switched off
	directShare         bool // Linux 6.6: shared mappings of direct I/O
}

func running(t *testing.T) kernel {
	t.Helper()
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		t.Fatal(err)
	}
	k := kernel{release: unix.ByteSliceToString(u.Release[:])}
	if _, err := fmt.Sscanf(k.release, "%d.%d", &k.major, &k.minor); err != nil {
		t.Fatalf("kernel release %q: %v", k.release, err)
	}
	k.passthrough, k.resend = k.since(6, 9), k.since(6, 9)
	k.directShare = k.since(6, 6)
	if fd, err := unix.MemfdSecret(unix.O_CLOEXEC); err == nil {
		k.memfdSecret = true
		unix.Close(fd)
	}
	return k
}

func (k kernel) since(major, minor int) bool {
	return k.major > major || k.major == major && k.minor >= minor
}

// envMemfd is what the host expects of memfd_secret(2): "on" or "off".
const envMemfd = "MEMFD_SECRET"

// TestKernel says which kernel it is, and that it was booted as was meant.
func TestKernel(t *testing.T) {
	k := running(t)
	t.Logf("Linux %s, memfd_secret: %v", k.release, k.memfdSecret)
	want := os.Getenv(envMemfd)
	if want != "" && (want == "on") != k.memfdSecret {
		t.Errorf("memfd_secret is there: %v, expected it %s", k.memfdSecret, want)
	}
}
