package mount

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"testing"
)

const envLeader = "SECRETFS_TEST_LEADER"

func init() {
	if os.Getenv(envLeader) != "" { // main runs on the first thread then, and stays there
		runtime.LockOSThread()
		os.Exit(withoutLeader(os.Getenv(envLeader)))
	}
}

// withoutLeader takes its descriptors from the first thread, as happens when it
// asks aside, and has another one look for the mount.
func withoutLeader(dir string) int {
	parent, err := openParent(dir)
	if err == nil {
		err = keepOnly(-1)
	}
	if err == nil {
		looked := make(chan error)
		go func() {
			_, err := os.Stat((&mounted{dir: dir, parent: parent}).way())
			looked <- err
		}()
		err = <-looked
	}
	if err != nil {
		fmt.Println(err)
		return 1
	}
	return 0
}

// TestWay: the way to the mount is there whatever thread goes it.
func TestWay(t *testing.T) {
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), envLeader+"="+t.TempDir())
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
}
