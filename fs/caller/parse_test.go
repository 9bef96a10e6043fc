package caller

import (
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/secretfs/secretfs/policy"
)

// statusText is what the kernel writes, less the lines that nobody reads.
const statusText = "Name:\tmem0\nUmask:\t0022\nState:\tD (disk sleep)\nTgid:\t812\nNgid:\t0\nPid:\t815\n" +
	"PPid:\t1\nTracerPid:\t0\nUid:\t990\t991\t992\t993\nGid:\t980\t981\t982\t983\nFDSize:\t64\n" +
	"Groups:\t4 27 980 \nNStgid:\t812\t1\nNSpid:\t815\t3\nNSpgid:\t812\t1\nKthread:\t0\nThreads:\t2\n" +
	"CapInh:\t0000000000000000\nCapPrm:\t0000000000000006\nCapEff:\t0000000000000004\nCapBnd:\t000001ffffffffff\n"

func TestParseStatus(t *testing.T) {
	s, err := parseStatus([]byte(statusText))
	if err != nil {
		t.Fatal(err)
	}
	groups, err := parseGroups(s.groups)
	if err != nil || !reflect.DeepEqual(groups, []uint32{4, 27, 980}) {
		t.Errorf("groups %v, %v", groups, err)
	}
	s.groups = nil
	want := status{tgid: 812, uid: ids{990, 993}, gid: ids{980, 983}, init: true, capPrm: 6, capEff: 4}
	if !reflect.DeepEqual(s, want) {
		t.Errorf("%+v, want %+v", s, want)
	}
}

func TestParseStatusVariants(t *testing.T) {
	cases := []struct {
		name, old, new string
		ok, init       bool
	}{
		{"PID 1 of a child namespace, in any of its threads", "", "", true, true},
		{"an ordinary process of a child namespace", "NStgid:\t812\t1", "NStgid:\t812\t11", true, false},
		{"thread 1 is not process 1", "NStgid:\t812\t1\nNSpid:\t815\t3", "NStgid:\t812\t7\nNSpid:\t815\t1", true, false},
		{"a kernel without pid namespaces", "NStgid:\t812\t1\n", "", true, false},
		{"PID 1 of that kernel", "Tgid:\t812\nNgid:\t0\n", "Tgid:\t1\n", true, true},
		{"no groups", "Groups:\t4 27 980 ", "Groups:\t ", true, true},
		{"a name that looks like a field", "Name:\tmem0", "Name:\t\\nTgid:\\t1", true, true},
		{"no Tgid", "Tgid", "tgid", false, false},
		{"no Uid", "Uid:\t990", "UID:\t990", false, false},
		{"three ids", "Uid:\t990\t991\t992\t993", "Uid:\t990\t991\t992", false, false},
		{"five ids", "Gid:\t980\t981\t982\t983", "Gid:\t980\t981\t982\t983\t984", false, false},
		{"an id too large", "Uid:\t990", "Uid:\t4294967296", false, false},
		{"an id below zero", "Uid:\t990", "Uid:\t-1", false, false},
		{"no capabilities", "CapEff", "Cap", false, false},
		{"short capabilities", "CapEff:\t0000000000000004", "CapEff:\t4", false, false},
		{"capabilities in capitals", "CapEff:\t0000000000000004", "CapEff:\t00000000000000FF", false, false},
		{"cut off", "\nCapBnd:\t000001ffffffffff\n", "", false, false},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			s, err := parseStatus([]byte(strings.Replace(statusText, c.old, c.new, 1)))
			if (err == nil) != c.ok || s.init != c.init {
				t.Errorf("init %v, error %v", s.init, err)
			}
		})
	}
}

func TestParseGroups(t *testing.T) {
	for text, ok := range map[string]bool{"": true, " ": true, "4 ": true, "4": false, "4  5 ": false, "4 x ": false, "4294967296 ": false} {
		if _, err := parseGroups([]byte(text)); (err == nil) != ok {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestParseIDMap(t *testing.T) {
	ranges, root, err := parseIDMap([]byte("         0       1000          1\n         1     100000      65536\n"))
	want := []policy.IDRange{{First: 1000, Count: 1}, {First: 100000, Count: 65536}}
	if err != nil || !reflect.DeepEqual(ranges, want) || root == nil || *root != 1000 {
		t.Errorf("%v, root %v, %v", ranges, root, err)
	}
	if _, root, err := parseIDMap([]byte("1 1000 1\n")); root != nil || err != nil {
		t.Errorf("root %v, %v where 0 is not mapped", root, err)
	}
	if ranges, _, err := parseIDMap(nil); ranges != nil || err != nil {
		t.Errorf("%v, %v for a namespace without a map yet", ranges, err)
	}
	for _, bad := range []string{"0 0\n", "0 0 1", "0 0 1 2\n", "a 0 1\n", "\n", "0 0 4294967296\n"} {
		if _, _, err := parseIDMap([]byte(bad)); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
}

func TestCgroupPath(t *testing.T) {
	cases := []struct{ name, text, want string }{
		{"unified", "0::/system.slice/a.service\n", "/system.slice/a.service"},
		{"hybrid", "5:name=systemd:/system.slice/a.service\n2:cpu,cpuacct:/b\n0::/system.slice/c.service\n", "/system.slice/c.service"},
		{"hybrid, cgroup2 unused", "1:name=systemd:/system.slice/a.service\n0::/\n", "/system.slice/a.service"},
		{"legacy", "1:name=systemd:/system.slice/a.service\n2:cpu:/b\n", "/system.slice/a.service"},
		{"no systemd", "2:cpu:/b\n0::/\n", "/"},
		{"other named hierarchies do not count", "3:name=systemd2:/system.slice/a.service\n0::/\n", "/"},
		{"a colon in the path", "0::/system.slice/a:b.service\n", "/system.slice/a:b.service"},
		{"nothing mounted", "", ""},
	}
	for _, c := range cases {
		if got, err := cgroupPath([]byte(c.text)); err != nil || string(got) != c.want {
			t.Errorf("%s: %q, %v", c.name, got, err)
		}
	}
	for _, bad := range []string{"0::/a", "0:/a\n", "0::\n", "0::a\n", "\n"} {
		if _, err := cgroupPath([]byte(bad)); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
}

// The kernel's own files are the seeds, beside those that are odd.
func kernelSeed(f *testing.F, file string, odd ...string) {
	text, err := os.ReadFile("/proc/self/" + file)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	for _, s := range odd {
		f.Add([]byte(s))
	}
}

func FuzzStatus(f *testing.F) {
	kernelSeed(f, "status", statusText, strings.Replace(statusText, "mem0", `) \nUid:\t0\t0\t0\t0`, 1))
	f.Fuzz(func(t *testing.T, text []byte) {
		s, err := parseStatus(text)
		if err != nil {
			return
		}
		if strings.Count(string(text), "\nUid:\t") == 0 || len(s.groups) > len(text) {
			t.Errorf("took %q", text)
		}
		if groups, err := parseGroups(s.groups); err == nil && len(groups) > len(s.groups)/2 {
			t.Errorf("%d groups from %q", len(groups), s.groups)
		}
	})
}

// FuzzCgroup holds that nothing below a user's manager, outside of the reader's
// namespace or under a name that systemd does not give is a system unit.
func FuzzCgroup(f *testing.F) {
	kernelSeed(f, "cgroup", "1:name=systemd:/a.scope\n0::/\n", "0::/user.slice/user-1000.slice/user@1000.service/mem0.service\n",
		"0::/../../system.slice/mem0.service\n", "0::/machine.slice/machine-a\\x2db.scope/x\n", "0::/system.slice/mem0.service\n")
	f.Fuzz(func(t *testing.T, text []byte) {
		path, err := cgroupPath(text)
		if err != nil {
			return
		}
		m := unitOf(string(path))
		if m.unit == "" {
			return
		}
		above, _, found := strings.Cut(string(path)+"/", m.unit+"/")
		for name := range strings.SplitSeq(strings.Trim(strings.TrimSuffix(above, "_"), "/"), "/") {
			if name != "" && !strings.HasSuffix(name, ".slice") {
				found = false
			}
		}
		if !found || m.userUnit != "" || strings.HasPrefix(m.unit, "user@") && strings.HasSuffix(m.unit, ".service") {
			t.Errorf("%q is %+v", path, m)
		}
	})
}

func FuzzIDMap(f *testing.F) {
	kernelSeed(f, "uid_map", "0 1000 1\n1 100000 65536\n", "0 0 4294967295\n")
	f.Fuzz(func(t *testing.T, text []byte) {
		ranges, root, err := parseIDMap(text)
		if err != nil {
			return
		}
		if len(ranges) != strings.Count(string(text), "\n") {
			t.Errorf("%d ranges from %q", len(ranges), text)
		}
		if root != nil && *root != ^uint32(0) && !policy.Maps(ranges, *root) {
			t.Errorf("root %d is outside of %v", *root, ranges)
		}
	})
}
