package policy_test

import (
	"testing"

	"github.com/secretfs/secretfs/policy"
)

var (
	mem0Exe  = policy.FileID{Dev: 1, Ino: 100}
	otherExe = policy.FileID{Dev: 1, Ino: 200}
)

// asks returns a question about mem0/token, 0440 mem0:keys (501:502), in
// directories that everybody may search, by a caller whom only the mode lets
// in. Each case changes what it is about.
func asks(change func(*policy.Question)) *policy.Question {
	c := user(501, 7)
	q := &policy.Question{
		Caller: &c,
		Path:   "mem0/token",
		Dirs:   []policy.Owned{dir(0, 0, 0o755), dir(501, 502, 0o755)},
		File:   file(501, 502, 0o440),
		Perm:   &policy.Perm{Owner: "mem0", Group: "keys", Mode: 0o440},
		Want:   read,
	}
	change(q)
	return q
}

func TestDecide(t *testing.T) {
	by := func(c policy.Caller) func(*policy.Question) {
		return func(q *policy.Question) { q.Caller = &c }
	}
	only := func(o policy.Only, ids policy.OnlyIDs, c policy.Caller) func(*policy.Question) {
		return func(q *policy.Question) { q.Perm.Only, q.Only, q.Caller = o, ids, &c }
	}
	root := withOverride(user(0, 0))
	in := func(unit, userUnit string) policy.Caller {
		c := user(501, 7)
		c.Unit, c.UserUnit = unit, userUnit
		return c
	}
	running := func(exe policy.FileID) policy.Caller {
		c := user(501, 7)
		c.File, c.Exe = exe, "/bin/mem0"
		return c
	}
	units := policy.Only{Units: []string{"mem0.service", "mem0@1.service"}}
	exes := policy.Only{Executables: []string{"/bin/mem0"}}
	exeIDs := policy.OnlyIDs{Executables: []policy.FileID{mem0Exe}}
	users := policy.Only{Users: []string{"mem0", "ghost"}}
	groups := policy.Only{Groups: []string{"ops"}}

	for _, c := range []struct {
		name   string
		change func(*policy.Question)
		allow  bool
		rule   string
	}{
		{"the owner", by(user(501, 7)), true, "mode 0440 owner"},
		{"the group", by(user(9, 502)), true, "mode 0440 group keys"},
		{"a supplementary group", by(user(9, 9, 3, 502)), true, "mode 0440 group keys"},
		{"anybody", func(q *policy.Question) { q.File.Mode, q.Caller.UID = 0o444, 9 }, true, "mode 0444 other"},
		{"a stranger", by(user(9, 9)), false, "mode 0440 of mem0:keys"},
		{"an owner whom the mode leaves out", func(q *policy.Question) { q.File.Mode = 0o040 }, false, "mode 0040 of mem0:keys"},
		{"root", by(root), true, "CAP_DAC_OVERRIDE"},
		{"root without capabilities", by(user(0, 0)), false, "mode 0440 of mem0:keys"},
		{"a backup program", by(withReadSearch(user(9, 9))), true, "CAP_DAC_READ_SEARCH"},
		{"nobody", func(q *policy.Question) { *q = policy.Question{} }, false, ""},
		{"nobody, of a real file", func(q *policy.Question) { q.Caller = nil }, false, ""},

		{"a shut root directory", func(q *policy.Question) { q.Dirs[0].Mode = 0o700 }, false, "search permission of /"},
		{"a shut directory", func(q *policy.Question) { q.Dirs[1] = dir(0, 0, 0o700) }, false, "search permission of mem0/"},
		{"a directory that lists but does not let through", func(q *policy.Question) { q.Dirs[1].Mode = 0o444 }, false, "search permission of mem0/"},
		{"a deep one", func(q *policy.Question) {
			q.Path, q.Dirs = "a/b/c", []policy.Owned{dir(0, 0, 0o755), dir(0, 0, 0o755), dir(0, 0, 0o700)}
		}, false, "search permission of a/b/"},
		{"root and a shut directory", func(q *policy.Question) { q.Dirs[1].Mode, q.Caller = 0, &root }, true, "CAP_DAC_OVERRIDE"},
		{"reaching only", func(q *policy.Question) { q.Want, q.File.Mode = 0, 0 }, true, "mode 0000 owner"},

		{"an unknown owner", func(q *policy.Question) { q.File, q.Unknown = file(0, 0, 0o400), "owner mem0" }, false, "owner mem0 is unknown"},
		{"root and an unknown group", func(q *policy.Question) { q.File, q.Unknown, q.Caller = file(0, 0, 0o440), "group keys", &root }, true, "mode 0440 owner"},

		{"the unit", only(units, policy.OnlyIDs{}, in("mem0.service", "")), true, "mode 0440 owner"},
		{"an instance", only(units, policy.OnlyIDs{}, in("mem0@1.service", "")), true, "mode 0440 owner"},
		{"another instance", only(units, policy.OnlyIDs{}, in("mem0@2.service", "")), false, "only: units"},
		{"another unit", only(units, policy.OnlyIDs{}, in("sshd.service", "")), false, "only: units"},
		{"no unit", only(units, policy.OnlyIDs{}, in("", "")), false, "only: units"},
		{"a unit of the user's own manager", only(units, policy.OnlyIDs{}, in("", "mem0.service")), false, "only: units"},
		{"that in a mount of the user", func(q *policy.Question) {
			only(units, policy.OnlyIDs{}, in("", "mem0.service"))(q)
			q.UserUnits = true
		}, true, "mode 0440 owner"},
		{"a system unit in a mount of the user", func(q *policy.Question) {
			only(units, policy.OnlyIDs{}, in("mem0.service", ""))(q)
			q.UserUnits = true
		}, false, "only: units"},
		{"root outside of the unit", only(units, policy.OnlyIDs{}, root), false, "only: units"},
		{"the unit, whom the mode leaves out", func(q *policy.Question) {
			only(units, policy.OnlyIDs{}, in("mem0.service", ""))(q)
			q.File.Mode = 0
		}, false, "mode 0000 of mem0:keys"},

		{"the executable", only(exes, exeIDs, running(mem0Exe)), true, "mode 0440 owner"},
		{"an executable of that path", only(exes, exeIDs, running(otherExe)), false, "only: executables"},
		{"an executable nobody could identify", only(exes, exeIDs, running(policy.FileID{})), false, "only: executables"},
		{"an executable that is not installed", only(exes, policy.OnlyIDs{}, running(policy.FileID{})), false, "only: executables"},
		{"two unknown executables", only(exes, policy.OnlyIDs{Executables: []policy.FileID{{}}}, running(policy.FileID{})), false, "only: executables"},

		{"the user", only(users, policy.OnlyIDs{Users: []uint32{501}}, user(501, 7)), true, "mode 0440 owner"},
		{"root is not the user", only(users, policy.OnlyIDs{Users: []uint32{501}}, root), false, "only: users"},
		{"a user without an id", only(users, policy.OnlyIDs{}, user(501, 7)), false, "only: users"},
		{"the group of a rule", only(groups, policy.OnlyIDs{Groups: []uint32{7}}, user(501, 7)), true, "mode 0440 owner"},
		{"a supplementary group of a rule", only(groups, policy.OnlyIDs{Groups: []uint32{8}}, user(501, 7, 8)), true, "mode 0440 owner"},
		{"no group of a rule", only(groups, policy.OnlyIDs{Groups: []uint32{8}}, user(501, 7)), false, "only: groups"},

		{"one kind of two", only(policy.Only{Units: units.Units, Users: users.Users}, policy.OnlyIDs{Users: []uint32{501}}, user(501, 7)), false, "only: units"},
		{"the other kind of two", only(policy.Only{Units: units.Units, Groups: groups.Groups}, policy.OnlyIDs{Groups: []uint32{8}}, in("mem0.service", "")), false, "only: groups"},
	} {
		t.Run(c.name, func(t *testing.T) {
			want := policy.Decision{Allowed: c.allow, Rule: c.rule}
			if got := policy.Decide(asks(c.change)); got != want {
				t.Errorf("got %+v, want %+v", got, want)
			}
		})
	}
}

func TestZeroDecisionRefuses(t *testing.T) {
	if (policy.Decision{}).Allowed {
		t.Error("it allows")
	}
}
