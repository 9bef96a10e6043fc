// Package bench measures the whole program beside its peers: ratios of one
// run, never times that a test depends on. `make bench` prints the table.
package bench

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"testing"

	"github.com/secretfs/secretfs/tests/harness"
)

// envRole makes the test binary one of the other processes of a measurement.
const envRole = "SECRETFS_BENCH_ROLE"

// table is where the results are kept, beside standard output.
var table = flag.String("table", "", "file to write the table of results to")

var roles = map[string]func(args []string) error{
	"reader":  runReader,
	"counter": runCounter,
	"burst":   runBurst,
	"static":  runStatic,
}

// A reader is what cat(1) is: the first and only thread of its process that
// makes system calls.
func init() {
	if os.Getenv(envRole) != "" {
		runtime.LockOSThread()
	}
}

func TestMain(m *testing.M) {
	if run, ok := roles[os.Getenv(envRole)]; ok {
		if err := run(os.Args[1:]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	code := harness.Main(m)
	if err := results.write(*table); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// self is this test binary in a role.
func self(role string, args ...string) *exec.Cmd {
	cmd := exec.Command("/proc/self/exe", args...)
	// No signals from Go's scheduler, which a program in C would not have.
	cmd.Env = append(os.Environ(), envRole+"="+role, "GODEBUG=asyncpreemptoff=1")
	cmd.Stderr = os.Stderr
	return cmd
}
