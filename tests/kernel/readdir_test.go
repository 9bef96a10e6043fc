package kernel

import (
	"encoding/binary"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/secretfs/secretfs/tests/harness"
)

// TestReadDirAcrossKill lists 300 names a few at a time, with a kill in the
// middle, and another time with names that come and go meanwhile. A name that
// is there all the time is listed once.
func TestReadDirAcrossKill(t *testing.T) {
	harness.Matrix(t, func(t *testing.T) {
		steady, early, late := make(map[string]string), make(map[string]string), make(map[string]string)
		for i := range 300 {
			name := fmt.Sprintf("%03d-%s", i, strings.Repeat("x", i%40))
			steady[name] = "v"
			early[fmt.Sprintf("early-%03d", i)], late[fmt.Sprintf("late-%03d", i)] = "v", "v"
		}
		both := func(a, b map[string]string) string {
			all := maps.Clone(a)
			maps.Copy(all, b)
			return toJSON(t, all)
		}
		m := harness.New(t, harness.Options{Plain: both(steady, early)})
		for name, between := range map[string]func(){
			"a kill":            m.KillWorker,
			"other names":       func() { m.Rotate(both(steady, late), "late-000", "v") },
			"other and a kill":  func() { m.Rotate(both(steady, early), "early-000", "v"); m.KillWorker() },
			"nothing":           func() {},
			"many kills":        func() { m.KillWorker(); m.KillWorker(); m.KillWorker() },
			"all others gone":   func() { m.Rotate(both(steady, map[string]string{"last": "v"}), "last", "v") },
			"others come again": func() { m.Rotate(both(steady, late), "late-000", "v"); m.KillWorker() },
		} {
			t.Run(name, func(t *testing.T) {
				listed := listSlowly(t, m.Dir, between)
				for want := range steady {
					if listed[want] != 1 {
						t.Errorf("%s is listed %d times", want, listed[want])
					}
				}
				for got, n := range listed {
					if n > 1 {
						t.Errorf("%s is listed %d times", got, n)
					}
				}
				again := listSlowly(t, m.Dir, func() {})
				if got, want := slices.Sorted(maps.Keys(again)), append([]string{".", ".."}, names(t, m.Dir)...); !slices.Equal(got, want) {
					t.Errorf("listed anew: %d names, want %d", len(got), len(want))
				}
			})
		}
	})
}

// listSlowly lists with getdents64(2) and a buffer for a few names, and does
// something in the middle.
func listSlowly(t *testing.T, dir string, between func()) map[string]int {
	t.Helper()
	f, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	listed := make(map[string]int)
	buf := make([]byte, 300)
	for done := false; ; {
		n, err := unix.Getdents(int(f.Fd()), buf)
		if err != nil {
			t.Fatalf("getdents: %v", err)
		}
		if n == 0 {
			return listed
		}
		for b := buf[:n]; len(b) > 0; b = b[binary.NativeEndian.Uint16(b[16:]):] {
			name, _, _ := strings.Cut(string(b[19:binary.NativeEndian.Uint16(b[16:])]), "\x00")
			listed[name]++
		}
		if len(listed) > 150 && !done {
			done = true
			between()
		}
	}
}
