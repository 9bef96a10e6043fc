package policy_test

import (
	"testing"

	"github.com/secretfs/secretfs/policy"
)

const (
	exec  = policy.WantExec
	write = policy.WantWrite
	read  = policy.WantRead
)

var everyID = []policy.IDRange{{First: 0, Count: 1<<32 - 1}}

func file(uid, gid, mode uint32) policy.Owned {
	return policy.Owned{UID: uid, GID: gid, Mode: mode}
}

func dir(uid, gid, mode uint32) policy.Owned {
	return policy.Owned{UID: uid, GID: gid, Mode: mode, Dir: true}
}

func user(uid, gid uint32, groups ...uint32) policy.Caller {
	return policy.Caller{UID: uid, GID: gid, Groups: groups}
}

func withOverride(c policy.Caller) policy.Caller {
	c.DACOverride, c.UIDMap, c.GIDMap = true, everyID, everyID
	return c
}

func withReadSearch(c policy.Caller) policy.Caller {
	c.DACReadSearch, c.UIDMap, c.GIDMap = true, everyID, everyID
	return c
}

func mapping(c policy.Caller, uids, gids policy.IDRange) policy.Caller {
	c.UIDMap, c.GIDMap = []policy.IDRange{uids}, []policy.IDRange{gids}
	return c
}

// The comparison with the kernel itself is in tests/permission; these are the
// sentences that must hold.
func TestPermits(t *testing.T) {
	low := policy.IDRange{First: 0, Count: 1000}
	none := policy.IDRange{First: 7000, Count: 1}
	cases := []struct {
		name   string
		file   policy.Owned
		caller policy.Caller
		want   policy.Want
		by     string
	}{
		{"the zero caller reads nothing private", file(1, 1, 0o440), policy.Caller{}, read, ""},
		{"the owner reads by the owner's bits", file(5, 6, 0o400), user(5, 9), read, policy.ByOwner},
		{"the owner's bits alone apply to the owner", file(5, 6, 0o077), user(5, 6), read, ""},
		{"the group reads by the group's bits", file(5, 6, 0o040), user(1, 6), read, policy.ByGroup},
		{"a supplementary group counts", file(5, 6, 0o040), user(1, 1, 2, 6), read, policy.ByGroup},
		{"the group's bits alone apply to the group", file(5, 6, 0o704), user(1, 1, 6), read, ""},
		{"everybody else reads by the last bits", file(5, 6, 0o004), user(1, 1), read, policy.ByOther},
		{"every bit of what is wanted must be there", file(5, 6, 0o400), user(5, 6), read | write, ""},
		{"nothing wanted is permitted", file(5, 6, 0), user(1, 1), 0, policy.ByOther},
		{"an invalid id owns nothing", file(^uint32(0), ^uint32(0), 0o440), user(^uint32(0), ^uint32(0)), read, ""},
		{"root without capabilities is a user like any other", file(5, 6, 0o440), user(0, 0), read, ""},
		{"mode 0 gives way to CAP_DAC_OVERRIDE", file(5, 6, 0), withOverride(user(0, 0)), read | write, policy.ByDACOverride},
		{"a file without an x bit does not run", file(5, 6, 0o666), withOverride(user(0, 0)), exec, ""},
		{"a file with any x bit runs", file(5, 6, 0o010), withOverride(user(0, 0)), exec, policy.ByDACOverride},
		{"a directory without an x bit is searched", dir(5, 6, 0), withOverride(user(0, 0)), exec, policy.ByDACOverride},
		{"CAP_DAC_READ_SEARCH reads", file(5, 6, 0), withReadSearch(user(1, 1)), read, policy.ByDACReadSearch},
		{"CAP_DAC_READ_SEARCH does not write", file(5, 6, 0), withReadSearch(user(1, 1)), read | write, ""},
		{"CAP_DAC_READ_SEARCH does not run files", file(5, 6, 0o100), withReadSearch(user(1, 1)), read | exec, ""},
		{"CAP_DAC_READ_SEARCH lists and searches", dir(5, 6, 0), withReadSearch(user(1, 1)), read | exec, policy.ByDACReadSearch},
		{"CAP_DAC_READ_SEARCH does not write directories", dir(5, 6, 0), withReadSearch(user(1, 1)), write, ""},
		{"a capability counts for mapped owners", file(5, 6, 0), mapping(withOverride(user(0, 0)), low, low), read, policy.ByDACOverride},
		{"not where the owner is unmapped", file(5, 6, 0), mapping(withOverride(user(0, 0)), none, low), read, ""},
		{"not where the group is unmapped", file(5, 6, 0), mapping(withReadSearch(user(0, 0)), low, none), read, ""},
		{"a capability without maps counts for nothing", file(5, 6, 0), policy.Caller{DACOverride: true}, read, ""},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			ok, by := c.file.Permits(&c.caller, c.want)
			if by != c.by || ok != (c.by != "") {
				t.Errorf("permitted %v by %q, want by %q", ok, by, c.by)
			}
		})
	}
}

// Whatever groups and capabilities a caller turns out to have, what suffices
// without them must hold with them, in every mode.
func TestSufficesHoldsForAnyGroups(t *testing.T) {
	sufficed := 0
	for mode := range uint32(0o1000) {
		o := file(5, 6, mode)
		for _, c := range []policy.Caller{user(5, 6), user(5, 1), user(1, 6), user(1, 1)} {
			if !o.Suffices(c.UID, c.GID, read) {
				continue
			}
			sufficed++
			for _, groups := range [][]uint32{nil, {6}, {2, 6}} {
				c.Groups = groups
				if ok, _ := o.Permits(&c, read); !ok {
					t.Fatalf("mode %04o suffices for %d:%d but is refused with groups %d", mode, c.UID, c.GID, groups)
				}
			}
		}
	}
	if want := 256 + 256 + 256 + 128; sufficed != want {
		t.Errorf("ids sufficed %d times, want %d", sufficed, want)
	}
}
