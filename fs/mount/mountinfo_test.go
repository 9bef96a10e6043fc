package mount

import (
	"os"
	"strings"
	"testing"
)

func TestParseMount(t *testing.T) {
	for line, want := range map[string]mountEntry{
		`36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue`:           {36, 35, "98:0", "/mnt1", "/mnt2", "ext3"},
		`412 29 0:61 / /run/secrets ro,nosuid,nodev shared:212 - fuse.secretfs secretfs ro`:        {412, 29, "0:61", "/", "/run/secrets", "fuse.secretfs"},
		`1 2 0:3 / /a\040b\011c\134d rw - tmpfs none rw`:                                           {1, 2, "0:3", "/", "/a b\tc\\d", "tmpfs"},
		"1 2 0:3 / /a\u00a0b\u2003c rw - tmpfs none rw":                                            {1, 2, "0:3", "/", "/a\u00a0b\u2003c", "tmpfs"},
		`1 2 0:3 / /no-optional-fields rw - tmpfs none rw`:                                         {1, 2, "0:3", "/", "/no-optional-fields", "tmpfs"},
		`1 2 0:3 / /two rw shared:1 master:2 propagate_from:3 unbindable - fuse.x - a - b c d e f`: {1, 2, "0:3", "/", "/two", "fuse.x"},
	} {
		if got, ok := parseMount(line); !ok || got != want {
			t.Errorf("%q is %+v, %v; want %+v", line, got, ok, want)
		}
	}
	for _, line := range []string{
		"", " - ", "1 2 3 - tmpfs", "x 2 0:3 / /a rw - tmpfs none rw", "1 2 0:3 / /a rw tmpfs none rw",
	} {
		if got, ok := parseMount(line); ok {
			t.Errorf("%q is %+v", line, got)
		}
	}
}

func TestUnescapeMount(t *testing.T) {
	for in, want := range map[string]string{
		`/plain`: "/plain", `/a\040b`: "/a b", `\134040`: `\040`, `/cut\04`: `/cut\04`, `/cut\`: `/cut\`,
		`/\999`: `/\999`, `/\777`: `/\777`, `/\303\274`: "/ü",
	} {
		if got := unescapeMount(in); got != want {
			t.Errorf("%q is %q, want %q", in, got, want)
		}
	}
}

// escape is what the kernel does (fs/proc_namespace.c, mangle).
var escape = strings.NewReplacer(" ", `\040`, "\t", `\011`, "\n", `\012`, `\`, `\134`, "#", `\043`)

func FuzzParseMount(f *testing.F) {
	b, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		f.Fatal(err)
	}
	seeds := 0
	for line := range strings.Lines(string(b)) {
		f.Add(strings.TrimSuffix(line, "\n"), "/run/se crets")
		seeds++
	}
	if seeds == 0 {
		f.Fatal("no seeds")
	}
	f.Fuzz(func(t *testing.T, line, dir string) {
		if e, ok := parseMount(line); ok && strings.Contains(e.device, " ") {
			t.Errorf("%q is %+v", line, e)
		}
		dir = "/" + dir
		built := "7 1 0:9 / " + escape.Replace(dir) + " ro shared:1 - fuse.secretfs secretfs ro"
		e, ok := parseMount(built)
		if !ok || e.dir != dir || e.id != 7 {
			t.Errorf("%q is %+v, %v", built, e, ok)
		}
	})
}

func TestReadMounts(t *testing.T) {
	entries, err := readMounts(ownMounts)
	if err != nil || len(entries) == 0 {
		t.Fatalf("%d mounts, %v", len(entries), err)
	}
	if top, ok, err := topMount("/"); err != nil || !ok || !(&mounted{id: top.id}).present() {
		t.Errorf("the root is %+v, %v, %v", top, ok, err)
	}
	if _, ok, _ := topMount("/nowhere"); ok {
		t.Error("a path that is no mount point has a mount")
	}
	if (&mounted{id: -1}).present() {
		t.Error("a mount that is not there is present")
	}
}
