package caller

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"testing"

	"github.com/secretfs/secretfs/policy"
	"golang.org/x/sys/unix"
)

// oddTID is above what the kernel ever gives, so that no real thread answers
// for one of a made-up proc.
const oddTID = 1<<22 + 815

// madeUp is a proc with one thread. What is not given is as in statusText.
func madeUp(t *testing.T, change map[string]string) *Proc {
	files := map[string]string{
		"status": statusText, "cgroup": "0::/system.slice/mem0.service\n",
		"uid_map": "0 1000 1\n1 100000 65536\n", "gid_map": "0 1000 1\n",
		"ns/user": "user:[1]", "ns/pid": "pid:[1]", "exe": "/usr/bin/mem0",
	}
	for name, text := range change {
		files[name] = text
	}
	root := t.TempDir()
	dir := filepath.Join(root, strconv.Itoa(oddTID))
	if err := os.MkdirAll(filepath.Join(dir, "ns"), 0o700); err != nil {
		t.Fatal(err)
	}
	for name, text := range files {
		var err error
		switch {
		case text == "":
		case name == "exe" || filepath.Dir(name) == "ns":
			err = os.Symlink(text, filepath.Join(dir, name))
		default:
			err = os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return openProc(t, root)
}

func TestLookupOfOddThreads(t *testing.T) {
	inOwnNS := map[string]string{"ns/user": openProc(t, "/proc").userNS}
	fileHolder := policy.Caller{
		PID: 812, TID: oddTID, UID: 993, GID: 983, Groups: []uint32{4, 27, 980}, Exe: "/usr/bin/mem0",
		Unit: "mem0.service", Init: true, DACReadSearch: true,
		UIDMap: []policy.IDRange{{First: 1000, Count: 1}, {First: 100000, Count: 65536}}, GIDMap: []policy.IDRange{{First: 1000, Count: 1}},
	}
	powerless := fileHolder
	powerless.Groups, powerless.DACReadSearch, powerless.UIDMap, powerless.GIDMap = nil, false, nil, nil
	but := func(c policy.Caller, change func(*policy.Caller)) policy.Caller {
		change(&c)
		return c
	}
	cases := []struct {
		name   string
		change map[string]string
		uid    uint32
		gid    uint32
		needs  Needs
		want   policy.Caller
	}{
		{"all of it", nil, 993, 983, NeedAll, fileHolder},
		{"only what it belongs to", nil, 993, 983, 0, powerless},
		{
			"in the reader's user namespace", inOwnNS, 993, 983, NeedAll,
			but(fileHolder, func(c *policy.Caller) { c.UIDMap, c.GIDMap = everyID, everyID }),
		},
		{
			"another user than the thread's has none of its powers", nil, 0, 983, NeedAll,
			but(powerless, func(c *policy.Caller) { c.UID = 0 }),
		},
		{
			"nor another group", nil, 993, 0, NeedAll,
			but(powerless, func(c *policy.Caller) { c.GID = 0 }),
		},
		{
			"the real ids are the thread's in access(2)", nil, 990, 980, NeedReal,
			but(powerless, func(c *policy.Caller) {
				c.UID, c.GID, c.Groups, c.UIDMap, c.GIDMap = 990, 980, fileHolder.Groups, fileHolder.UIDMap, fileHolder.GIDMap
			}),
		},
		{
			"and of nobody in open(2)", nil, 990, 980, NeedPower,
			but(powerless, func(c *policy.Caller) { c.UID, c.GID = 990, 980 }),
		},
		{
			"a real root has its permitted capabilities in access(2)",
			map[string]string{"status": strings.Replace(statusText, "Uid:\t990", "Uid:\t1000", 1)},
			1000, 980, NeedReal,
			but(fileHolder, func(c *policy.Caller) { c.UID, c.GID, c.DACOverride = 1000, 980, true }),
		},
		{
			"but what may be chdir(2) is done by the effective ones",
			map[string]string{"status": strings.NewReplacer("Uid:\t990", "Uid:\t993", "Gid:\t980", "Gid:\t983").Replace(statusText)},
			993, 983, NeedReal | NeedPower, fileHolder,
		},
		{
			"a kernel thread has no executable",
			map[string]string{"exe": ""},
			993, 983, NeedAll,
			but(fileHolder, func(c *policy.Caller) { c.Exe = "" }),
		},
		{
			"a hidden user namespace is known by its maps", map[string]string{"ns/user": ""}, 993, 983, NeedAll, fileHolder,
		},
		{
			"without capabilities the maps are not read",
			map[string]string{
				"status": strings.Replace(statusText, "CapEff:\t0000000000000004", "CapEff:\t0000000000000008", 1), "uid_map": "?",
			},
			993, 983, NeedAll,
			but(powerless, func(c *policy.Caller) { c.Groups = fileHolder.Groups }),
		},
		{
			"in a container that is no unit",
			map[string]string{"cgroup": "0::/lxc.payload.web/system.slice/mem0.service\n"},
			993, 983, NeedAll,
			but(fileHolder, func(c *policy.Caller) { c.Unit, c.Container = "", "web" }),
		},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			got, err := madeUp(t, c.change).Lookup(oddTID, c.uid, c.gid, c.needs)
			if err != nil || !reflect.DeepEqual(got, c.want) {
				t.Errorf("%v\n got %+v\nwant %+v", err, got, c.want)
			}
		})
	}
}

func TestLookupFails(t *testing.T) {
	cases := []struct {
		name   string
		change map[string]string
		want   error
	}{
		{"status gone", map[string]string{"status": ""}, ErrGone},
		{"cgroup gone", map[string]string{"cgroup": ""}, ErrGone},
		{"uid_map gone", map[string]string{"uid_map": ""}, ErrGone},
		{"status garbled", map[string]string{"status": "Name:\tx\n"}, errStatus},
		{"groups garbled", map[string]string{"status": strings.Replace(statusText, "4 27", "4;27", 1)}, errStatus},
		{"cgroup garbled", map[string]string{"cgroup": "x"}, errCgroup},
		{"gid_map garbled", map[string]string{"gid_map": "0 0\n"}, errIDMap},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			got, err := madeUp(t, c.change).Lookup(oddTID, 993, 983, NeedAll)
			header := policy.Caller{TID: oddTID, UID: 993, GID: 983}
			if !errors.Is(err, c.want) || !reflect.DeepEqual(got, header) {
				t.Errorf("%+v, %v; want %v and no more than the header says", got, err, c.want)
			}
		})
	}
	if _, err := openProc(t, "/proc").Lookup(0, 0, 0, NeedAll); !errors.Is(err, ErrForeign) {
		t.Errorf("thread 0: %v, want %v", err, ErrForeign)
	}
	if _, err := openProc(t, "/proc").Lookup(oddTID, 0, 0, NeedAll); !errors.Is(err, ErrGone) {
		t.Errorf("a number that no thread has: %v, want %v", err, ErrGone)
	}
	if _, err := Open(filepath.Join(t.TempDir(), "none")); !errors.Is(err, unix.ENOENT) {
		t.Errorf("opening what is not there: %v", err)
	}
}

// A status longer than any buffer kept: a user can be in 65,536 groups.
func TestLookupOfManyGroups(t *testing.T) {
	many := strings.Repeat("4000000000 ", 65536)
	p := madeUp(t, map[string]string{"status": strings.Replace(statusText, "4 27 980 ", many, 1)})
	got, err := p.Lookup(oddTID, 993, 983, NeedAll)
	if err != nil || len(got.Groups) != 65536 || got.Groups[65535] != 4000000000 {
		t.Errorf("%d groups, %v", len(got.Groups), err)
	}
}
