package worker

import (
	"bytes"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestUnchanged(t *testing.T) {
	const rest = "Rss:  4 kB\nAnonymous:  0 kB\nSwap:  0 kB\nVmFlags: rd mr\n"
	for _, test := range []struct {
		name, text string
		want       []area
	}{
		{"code", "400000-8fc000 r-xp 00000000 fe:00 77 /usr/bin/secretfs\n" + rest, []area{{0x400000, 0x8fc000}}},
		{"constants", "8fc000-e0c000 r--p 004fc000 fe:00 77 /usr/bin/secretfs\n" + rest, []area{{0x8fc000, 0xe0c000}}},
		{"variables", "e0c000-e62000 rw-p 00000000 fe:00 77 /usr/bin/secretfs\n" + rest, nil},
		{"shared", "7f0000-7f1000 r--s 00000000 00:01 9 /memfd:secretfs-table\n" + rest, nil},
		{"vdso", "7f0000-7f2000 r-xp 00000000 00:00 0 [vdso]\n" + rest, nil},
		{"memory without a name", "7f0000-7f2000 r--p 00000000 00:00 0 \n" + rest, nil},
		{
			"relocated", "400000-8fc000 r--p 00000000 fe:00 77 /usr/bin/secretfs\n" +
				strings.Replace(rest, "Anonymous:  0", "Anonymous:  8", 1), nil,
		},
		{
			"relocated, in swap", "400000-8fc000 r--p 00000000 fe:00 77 /usr/bin/secretfs\n" +
				strings.Replace(rest, "Swap:  0", "Swap:  8", 1), nil,
		},
		{
			"one of two", "400000-8fc000 r--p 00000000 fe:00 77 /a b\n" + strings.Replace(rest, "Anonymous:  0", "Anonymous:  8", 1) +
				"8fc000-900000 r-xp 00000000 fe:00 77 /a b (deleted)\n" + rest, []area{{0x8fc000, 0x900000}},
		},
	} {
		got, err := unchanged(strings.NewReader(test.text))
		if err != nil || !slices.Equal(got, test.want) {
			t.Errorf("%s: %v, %v; expected %v", test.name, got, err, test.want)
		}
	}
	if _, err := unchanged(strings.NewReader("400000+8fc000 r-xp 0 0 0\n")); err == nil {
		t.Error("what is no range of addresses was taken for one")
	}
}

// The test's own program loses pages, and goes on.
func TestDropProgram(t *testing.T) {
	areas, _ := inMemory(t)
	for _, a := range areas {
		if _, _, errno := unix.Syscall(unix.SYS_MADVISE, a.from, a.to-a.from, unix.MADV_POPULATE_READ); errno != 0 {
			t.Fatal(errno)
		}
	}
	_, before := inMemory(t)
	if err := dropProgram(); err != nil {
		t.Fatal(err)
	}
	if _, after := inMemory(t); before == 0 || after > before*3/4 {
		t.Errorf("%d KiB of code and constants before, %d after", before, after)
	}
}

// inMemory is where this program's code and constants are, and how many KiB of
// them are resident.
func inMemory(t *testing.T) (areas []area, resident int) {
	t.Helper()
	text, err := os.ReadFile("/proc/self/smaps")
	if err != nil {
		t.Fatal(err)
	}
	if areas, err = unchanged(bytes.NewReader(text)); err != nil {
		t.Fatal(err)
	}
	for _, a := range areas {
		_, rest, _ := strings.Cut(string(text), fmt.Sprintf("%08x-%08x ", a.from, a.to))
		_, rest, _ = strings.Cut(rest, "\nRss:")
		var kib int
		if _, err := fmt.Sscan(rest, &kib); err != nil {
			t.Fatal(err)
		}
		resident += kib
	}
	return areas, resident
}
