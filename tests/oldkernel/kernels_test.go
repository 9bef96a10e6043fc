package oldkernel

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// envKernels names a folder that fetch.sh has filled.
const envKernels = "SECRETFS_KERNELS"

// TestKernels boots each older kernel, with and without memfd_secret(2), and
// has the tests of package guest run as its only process.
func TestKernels(t *testing.T) {
	dir := os.Getenv(envKernels)
	if dir == "" {
		t.Skip("SKIPPED: `make kernels` runs this on older kernels")
	}
	for _, tool := range []string{"qemu-system-x86_64", "cpio", "ldd", "fusermount3"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("SKIPPED: no %s", tool)
		}
	}
	images, err := filepath.Glob(filepath.Join(dir, "*", "vmlinuz"))
	if err != nil || len(images) == 0 {
		t.Skipf("SKIPPED: no kernels in %s", dir)
	}
	base := stage(t)
	for _, image := range images {
		release := filepath.Base(filepath.Dir(image))
		archive := pack(t, base, filepath.Dir(image))
		for _, memfd := range []string{"off", "on"} {
			t.Run(release+"/memfd_secret="+memfd, func(t *testing.T) {
				m := machine{kernel: image, initramfs: archive, memfd: memfd}
				judge(t, m.run(t))
			})
		}
	}
}

var (
	verdict = regexp.MustCompile(`(?m)^ *--- (PASS|FAIL|SKIP): (\S+)`)
	ended   = regexp.MustCompile(`(?m)^guest ended: (.*)$`)
)

// judge fails the test for every test of the guest that did not pass, one that
// printed no verdict among them.
func judge(t *testing.T, console string) {
	t.Helper()
	verdicts := make(map[string]string)
	for _, m := range verdict.FindAllStringSubmatch(console, -1) {
		verdicts[m[2]] = m[1]
	}
	for _, name := range guestTests(t) {
		if verdicts[name] != "PASS" {
			t.Errorf("%s: %s", name, orNothing(verdicts[name]))
		}
	}
	if m := ended.FindStringSubmatch(console); m == nil || m[1] != "<nil>" {
		t.Errorf("the guest has not ended well: %q", m)
	}
	if t.Failed() {
		t.Logf("its console:\n%s", console)
	} else {
		t.Log(summary(console))
	}
}

func orNothing(verdict string) string {
	if verdict == "" {
		return "has printed no verdict"
	}
	return verdict
}

// summary is what the guest's tests have logged.
func summary(console string) string {
	var b strings.Builder
	for line := range strings.Lines(console) {
		if strings.Contains(line, "_test.go:") {
			fmt.Fprintln(&b, strings.TrimSpace(line))
		}
	}
	return b.String()
}
