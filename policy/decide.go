package policy

import "slices"

// A Question is everything a decision depends on.
type Question struct {
	Caller *Caller
	// Path is the path asked for, and Dirs are the directories on the way to
	// it, the root of the mount first.
	Path string
	Dirs []Owned
	// File is what is at Path, and Perm what the policy says of it.
	File Owned
	Perm *Perm
	Want Want // what is asked of File; 0 is only that it can be reached
	// Unknown is the name for want of whose id File is root's alone, "owner
	// mem0"; empty where all are known.
	Unknown string
	// Only has the ids of Perm.Only.
	Only OnlyIDs
	// UserUnits says that Perm.Only.Units are units below the user's own
	// manager, as in a mount of one user.
	UserUnits bool
}

// OnlyIDs are the ids and files that an Only means. What does not resolve is
// not in them and lets nobody in.
type OnlyIDs struct {
	Executables   []FileID
	Users, Groups []uint32
}

// A Decision is the answer to a Question. The zero value refuses.
type Decision struct {
	Allowed bool
	// Rule is what decided: "mode 0400 owner" or "CAP_DAC_OVERRIDE" where
	// allowed; "mode 0400 of mem0:root", "owner mem0 is unknown", "search
	// permission of mem0/" or "only: units" where refused.
	Rule string
}

// Decide says whether the caller may do what it wants: search permission of
// every directory on the way, then mode bits, as the kernel would
// (path_resolution(7)), then, for files, the rules that narrow further, root
// included. It is pure.
func Decide(q *Question) Decision {
	if q.Caller == nil || q.Perm == nil {
		return Decision{}
	}
	for i, dir := range q.Dirs {
		if ok, _ := dir.Permits(q.Caller, WantExec); !ok {
			return Decision{Rule: "search permission of " + prefix(q.Path, i) + "/"}
		}
	}
	ok, by := q.File.Permits(q.Caller, q.Want)
	if !ok {
		return Decision{Rule: q.refusedBy()}
	}
	if kind := q.narrowedBy(); kind != "" && !q.File.Dir {
		return Decision{Rule: "only: " + kind}
	}
	return Decision{Allowed: true, Rule: q.allowedBy(by)}
}

// prefix is the first n names of path.
func prefix(path string, n int) string {
	if n == 0 {
		return ""
	}
	for i := range len(path) {
		if path[i] == '/' {
			if n--; n == 0 {
				return path[:i]
			}
		}
	}
	return path
}

// modeText is the mode as chmod(1) takes it.
func modeText(mode uint32) string {
	digits := [...]byte{'0', '0' + byte(mode>>6&7), '0' + byte(mode>>3&7), '0' + byte(mode&7)}
	return "mode " + string(digits[:])
}

func (q *Question) allowedBy(by string) string {
	switch {
	case by == ByDACOverride || by == ByDACReadSearch:
		return by
	case by == ByGroup && q.Unknown == "":
		return modeText(q.File.Mode) + " " + by + " " + q.Perm.Group
	}
	return modeText(q.File.Mode) + " " + by
}

func (q *Question) refusedBy() string {
	if q.Unknown != "" {
		return q.Unknown + " is unknown"
	}
	return modeText(q.File.Mode) + " of " + q.Perm.Owner + ":" + q.Perm.Group
}

// narrowedBy is the kind of `only:` rule that refuses, "" where none does.
func (q *Question) narrowedBy() string {
	only := &q.Perm.Only
	switch c := q.Caller; {
	case len(only.Units) > 0 && !q.inUnit(only.Units):
		return "units"
	case len(only.Executables) > 0 && !(c.File != FileID{} && slices.Contains(q.Only.Executables, c.File)):
		return "executables"
	case len(only.Users) > 0 && !slices.Contains(q.Only.Users, c.UID):
		return "users"
	case len(only.Groups) > 0 && !slices.ContainsFunc(q.Only.Groups, c.inGroup):
		return "groups"
	}
	return ""
}

func (q *Question) inUnit(units []string) bool {
	unit := q.Caller.Unit
	if q.UserUnits {
		unit = q.Caller.UserUnit
	}
	return unit != "" && slices.Contains(units, unit)
}

func (c *Caller) inGroup(gid uint32) bool {
	return c.GID == gid || slices.Contains(c.Groups, gid)
}
