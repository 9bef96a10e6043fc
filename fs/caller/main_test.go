package caller

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"syscall"
	"testing"
)

// The test binary also plays the callers: roleEnv says which.
const (
	roleEnv = "SECRETFS_TEST_ROLE"
	pathEnv = "SECRETFS_TEST_PATH"
)

func TestMain(m *testing.M) {
	switch role := os.Getenv(roleEnv); role {
	case "":
		os.Exit(m.Run())
	case "wait":
		wait()
	case "forge":
		forge(os.Getenv(pathEnv))
	default:
		die(fmt.Errorf("unknown role %q", role))
	}
}

func wait() {
	fmt.Println("ready")
	_, _ = io.Copy(io.Discard, os.Stdin) // until the test is over, however it ends
}

// forge runs this binary under the path of another one.
func forge(path string) {
	self, err := os.Executable()
	if err == nil {
		err = syscall.Mount(self, path, "", syscall.MS_BIND, "")
	}
	if err != nil {
		die(err)
	}
	die(syscall.Exec(path, []string{path}, []string{roleEnv + "=wait"}))
}

func die(err error) {
	fmt.Println(err)
	os.Exit(1)
}

// start runs a caller until the test ends, and returns when it is ready.
func start(t *testing.T, cmd *exec.Cmd) *exec.Cmd {
	t.Helper()
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = stdin.Close()
		_ = cmd.Process.Kill() // or the test has done so
		_ = cmd.Wait()
	})
	if line, err := bufio.NewReader(stdout).ReadString('\n'); line != "ready\n" {
		t.Fatalf("the caller said %q, %v", line, err)
	}
	return cmd
}

func waiter() *exec.Cmd {
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = []string{roleEnv + "=wait"}
	return cmd
}

func openProc(t *testing.T, dir string) *Proc {
	t.Helper()
	p, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Close() })
	return p
}

func needRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("SKIPPED: needs root")
	}
}
