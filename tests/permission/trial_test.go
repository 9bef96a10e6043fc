package permission

import (
	"fmt"
	"strconv"

	"github.com/secretfs/secretfs/policy"
	"golang.org/x/sys/unix"
)

// A trial is a call and what it asks of the branch: to search the first
// directories, then the last wish.
type trial struct {
	call
	way  []policy.Owned
	want policy.Want
}

func (tr trial) String() string {
	s := fmt.Sprintf("%+v wants %03b at the end of", tr.call, tr.want)
	for _, o := range tr.way {
		s += fmt.Sprintf(" %04o %d:%d", o.Mode, o.UID, o.GID)
	}
	return s
}

// permits also says what decided about the end, the only thing with a choice of
// grounds that matters to an audit.
func (tr trial) permits(c *policy.Caller) (ok bool, by string) {
	for i, o := range tr.way {
		want := policy.WantExec
		if i == len(tr.way)-1 {
			want = tr.want
		}
		if ok, by = o.Permits(c, want); !ok {
			return false, ""
		}
	}
	return true, by
}

func (tr trial) suffices(c *policy.Caller) bool {
	for i, o := range tr.way {
		want := policy.WantExec
		if i == len(tr.way)-1 {
			want = tr.want
		}
		if !o.Suffices(c.UID, c.GID, want) {
			return false
		}
	}
	return true
}

// trialsOf are the calls on a branch. access(2) with AT_EACCESS is the one that
// FUSE cannot tell from one without where the ids are the same, so there it is
// only tried where they differ.
func trialsOf(i int, b branch, id identity) []trial {
	dir := strconv.Itoa(i) + "/d"
	file := dir + "/f"
	open := func(path string, way []policy.Owned, flags uint32, want policy.Want) trial {
		return trial{call{callOpen, treeFD, path, flags}, way, want}
	}
	trials := []trial{
		open(file, b[:], unix.O_RDONLY, policy.WantRead),
		open(file, b[:], unix.O_WRONLY, policy.WantWrite),
		open(file, b[:], unix.O_RDWR, policy.WantRead|policy.WantWrite),
		open(dir, b[:2], unix.O_RDONLY|unix.O_DIRECTORY, policy.WantRead),
		{call{callStat, treeFD, file, 0}, b[:], 0},
		{call{callChdir, treeFD, dir, 0}, b[:2], policy.WantExec},
	}
	for mode := range uint32(8) {
		trials = append(trials, trial{call{callAccess, treeFD, file, mode}, b[:], policy.Want(mode)})
		if mode != 0 {
			trials = append(trials, trial{call{callAccess, treeFD, dir, mode}, b[:2], policy.Want(mode)})
		}
		if id.FSUID != id.RUID || id.FSGID != id.RGID {
			trials = append(trials, trial{call{callEffAccess, treeFD, file, mode}, b[:], policy.Want(mode)})
		}
	}
	return trials
}
