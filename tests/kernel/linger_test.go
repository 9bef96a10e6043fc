package kernel

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/secretfs/secretfs/tests/harness"
)

// TestLinger: the plaintext that passthrough serves stays while somebody has it
// open and for as long as linger says after that, and then goes; also where
// another worker has taken over meanwhile.
func TestLinger(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("SKIPPED: user mounts have no passthrough")
	}
	const size = 200_000
	secret := strings.Repeat("x", size)
	m := harness.New(t, harness.Options{
		Plain: "a: " + secret + "\nb: " + secret + "\n",
		Head:  "linger: 1s\nbackends: {main: {type: sops, file: secrets.yaml, age: {key_files: [keys.txt]}}}\n",
	})
	used := store(t, m.Status().HolderPID)
	if n := used(); n != 0 {
		t.Fatalf("%d bytes before anything was read", n)
	}
	f, err := os.Open(m.Path("a"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	m.Read("b")
	if n := used(); n < 2*size {
		t.Errorf("%d bytes after two secrets were read, want more than %d", n, 2*size)
	}
	one := func() bool { n := used(); return n >= size && n < 2*size }
	harness.Eventually(t, "what nobody has open goes", one)
	m.KillWorker()
	time.Sleep(3 * time.Second) // linger and more
	if !one() {
		t.Errorf("%d bytes while one secret is open", used())
	}
	if got, err := io.ReadAll(f); err != nil || string(got) != secret {
		t.Errorf("the open file: %d bytes, %v", len(got), err)
	}
	f.Close()
	harness.Eventually(t, "all goes after the last close", func() bool { return used() == 0 })
}

// store finds the tmpfs that a holder keeps, and tells how many bytes are in it.
func store(t *testing.T, holder int) (used func() int64) {
	t.Helper()
	files, _ := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", holder))
	for _, file := range files {
		var fs unix.Statfs_t
		var info unix.Stat_t
		if unix.Statfs(file, &fs) != nil || unix.Stat(file, &info) != nil {
			continue
		}
		if fs.Type == unix.TMPFS_MAGIC && info.Mode&unix.S_IFMT == unix.S_IFDIR {
			return func() int64 {
				if err := unix.Statfs(file, &fs); err != nil {
					t.Fatal(err)
				}
				return int64(fs.Blocks-fs.Bfree) * fs.Bsize
			}
		}
	}
	t.Fatal("the holder has no tmpfs")
	return nil
}
