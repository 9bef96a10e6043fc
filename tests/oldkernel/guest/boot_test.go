package guest

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sort"

	"golang.org/x/sys/unix"
)

// envGuest is set on the command line of the kernel: we are PID 1, out of an
// initramfs. Its value is a pattern for -test.run.
const envGuest = "SECRETFS_GUEST"

// boot makes the machine ready, runs the tests in a process of its own and
// powers off. What they print goes to the console, with "guest ended" at the end.
func boot() {
	err := prepare()
	if err == nil {
		err = runTests()
	}
	fmt.Printf("\nguest ended: %v\n", err)
	unix.Sync()
	_ = unix.Reboot(unix.LINUX_REBOOT_CMD_POWER_OFF)
	os.Exit(1) // the kernel panics, which the host sees
}

func prepare() error {
	for _, m := range [][2]string{
		{"proc", "/proc"}, {"sysfs", "/sys"}, {"devtmpfs", "/dev"}, {"tmpfs", "/tmp"}, {"tmpfs", "/run"},
	} {
		if err := os.MkdirAll(m[1], 0o755); err != nil {
			return err
		}
		if err := unix.Mount(m[0], m[1], m[0], 0, ""); err != nil {
			return fmt.Errorf("mounting %s: %w", m[1], err)
		}
	}
	if err := os.Chmod("/tmp", 0o1777); err != nil {
		return err
	}
	if err := os.Symlink("/proc/self/mounts", "/etc/mtab"); err != nil {
		return err // fusermount3 reads it
	}
	modules, _ := filepath.Glob("/modules/*.ko")
	sort.Strings(modules)
	for _, m := range modules {
		if err := load(m); err != nil {
			return fmt.Errorf("loading %s: %w", m, err)
		}
	}
	return os.Chmod("/dev/fuse", 0o666) // as udev does
}

func load(module string) error {
	f, err := os.Open(module)
	if err != nil {
		return err
	}
	defer f.Close()
	return unix.FinitModule(int(f.Fd()), "", 0)
}

func runTests() error {
	cmd := exec.Command("/proc/self/exe", "-test.v", "-test.run="+os.Getenv(envGuest), "-test.timeout=10m")
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stdout
	cmd.Dir = "/tmp"
	cmd.Env = []string{
		"PATH=/bin", "HOME=/tmp", "SECRETFS_BIN=/bin/secretfs", "SECRETFS_SOPS=/bin/sops",
		"SECRETFS_TEST_FUSE=required", envMemfd + "=" + os.Getenv(envMemfd),
	}
	return cmd.Run()
}
