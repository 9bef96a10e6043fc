package secret

import (
	"errors"
	"fmt"
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// TestMain plays the other processes of the tests: the test binary starts
// itself with SECRET_TEST_ROLE.
func TestMain(m *testing.M) {
	roles := map[string]func(){"": nil, "mapfd": childMapFD, "limit": childLimit, "harden": childHarden}
	role, ok := roles[os.Getenv("SECRET_TEST_ROLE")]
	switch {
	case !ok:
		fmt.Println("unknown role")
	case role != nil:
		role()
	default:
		os.Exit(m.Run())
	}
}

func childMapFD() {
	v, err := MapFD(3, len(canary))
	if err != nil {
		fmt.Println(err)
		return
	}
	if string(v.Bytes()) == canary {
		fmt.Println("same")
	}
	v.Destroy()
}

func childLimit() {
	if err := unix.Setrlimit(unix.RLIMIT_MEMLOCK, &unix.Rlimit{Cur: 2 * slabSize, Max: 2 * slabSize}); err != nil {
		fmt.Println(err)
	}
	small, err := New(1)
	if err != nil {
		fmt.Println(err)
	}
	defer small.Destroy()
	for _, without := range []bool{false, true} {
		noMemfd.Store(without)
		_, err := New(1 << 20)
		fmt.Printf("is ErrLimit %v: %v\n", errors.Is(err, ErrLimit), err)
		if v, err := New(64); err == nil {
			fmt.Println("small one still works")
			v.Destroy()
		}
	}
}

func childHarden() {
	if err := Harden(true); err != nil {
		fmt.Println(err)
		return
	}
	dumpable, _ := unix.PrctlRetInt(unix.PR_GET_DUMPABLE, 0, 0, 0, 0)
	var lim unix.Rlimit
	_ = unix.Getrlimit(unix.RLIMIT_CORE, &lim)
	var status [4096]byte
	f, err := os.Open("/proc/self/status")
	if err != nil {
		fmt.Println(err)
		return
	}
	n, _ := f.Read(status[:])
	state := "broken"
	if v, err := From([]byte(canary)); err == nil && string(v.Bytes()) == canary {
		state = "fine"
		v.Destroy()
	}
	fmt.Printf("dumpable %d, core %d, locked %v, slab %s\n", dumpable, lim.Max, lockedMiB(status[:n]) > 8, state)
}

func lockedMiB(status []byte) (mib int) {
	for i := range status {
		if n, _ := fmt.Sscanf(string(status[i:]), "VmLck: %d kB", &mib); n == 1 {
			return mib >> 10
		}
	}
	return 0
}
