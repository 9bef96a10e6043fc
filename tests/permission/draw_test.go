package permission

import (
	"math/rand/v2"
	"slices"
	"syscall"

	"github.com/secretfs/secretfs/policy"
	"golang.org/x/sys/unix"
)

// A namespace is a user namespace that callers live in. Without maps it is the
// initial one.
type namespace struct {
	name       string
	uids, gids []syscall.SysProcIDMap
	// started is what the process is started with, where another namespace
	// is in between.
	started *namespace
}

func oneMap(inside, outside, size int) syscall.SysProcIDMap {
	return syscall.SysProcIDMap{ContainerID: inside, HostID: outside, Size: size}
}

var (
	container = namespace{
		name: "a container",
		uids: []syscall.SysProcIDMap{oneMap(0, 100000, 65536)}, gids: []syscall.SysProcIDMap{oneMap(0, 100000, 65536)},
	}
	// nestedInOuter is relative to the container, nested to the machine.
	nestedInOuter = namespace{
		uids: []syscall.SysProcIDMap{oneMap(0, 500, 100)}, gids: []syscall.SysProcIDMap{oneMap(0, 700, 100)},
	}
	namespaces = [...]namespace{
		{name: "the initial namespace"},
		container,
		{
			name: "one user alone",
			uids: []syscall.SysProcIDMap{oneMap(0, 1000, 1)}, gids: []syscall.SysProcIDMap{oneMap(0, 1000, 1)},
		},
		{
			name: "several ranges",
			uids: []syscall.SysProcIDMap{oneMap(0, 1000, 1), oneMap(1, 100000, 100)},
			gids: []syscall.SysProcIDMap{oneMap(0, 1001, 1), oneMap(1, 200000, 3), oneMap(4, 300000, 50)},
		},
		{
			name: "the real root and some more",
			uids: []syscall.SysProcIDMap{oneMap(0, 0, 1000)}, gids: []syscall.SysProcIDMap{oneMap(0, 0, 5)},
		},
		{
			name: "a container in a container", started: &container,
			uids: []syscall.SysProcIDMap{oneMap(0, 100500, 100)}, gids: []syscall.SysProcIDMap{oneMap(0, 100700, 100)},
		},
	}
)

// outside is what an id inside is for the machine.
func outside(maps []syscall.SysProcIDMap, id uint32) (uint32, bool) {
	if maps == nil {
		return id, true
	}
	for _, m := range maps {
		if int(id) >= m.ContainerID && int(id) < m.ContainerID+m.Size {
			return id + uint32(m.HostID-m.ContainerID), true
		}
	}
	return 0, false
}

// Few ids, so that owners, groups and callers often meet.
var insideIDs, strangers = []uint32{0, 1, 2, 5, 40, 1000}, []uint32{0, 1, 4, 5, 1000, 1001, 64999, 165535, 165536}

func mapped(maps []syscall.SysProcIDMap) (ids []uint32) {
	for _, id := range insideIDs {
		if _, ok := outside(maps, id); ok {
			ids = append(ids, id)
		}
	}
	return ids
}

func pick[T any](r *rand.Rand, from []T) T { return from[r.IntN(len(from))] }

// drawIdentity draws, of all callers, those with one id, setuid programs, and
// threads with ids of their own for files.
func drawIdentity(r *rand.Rand, ns namespace) identity {
	uids, gids := mapped(ns.uids), mapped(ns.gids)
	var id identity
	id.RUID, id.RGID = pick(r, uids), pick(r, gids)
	id.EUID, id.EGID = id.RUID, id.RGID
	if r.IntN(3) == 0 {
		id.EUID, id.EGID = pick(r, uids), pick(r, gids)
	}
	id.FSUID, id.FSGID = id.EUID, id.EGID
	if r.IntN(4) == 0 {
		id.FSUID, id.FSGID = pick(r, uids), pick(r, gids)
	}
	for range r.IntN(4) {
		id.Groups = append(id.Groups, pick(r, gids))
	}
	for _, bit := range []int{unix.CAP_DAC_OVERRIDE, unix.CAP_DAC_READ_SEARCH} {
		if r.IntN(2) == 0 {
			id.Permitted |= 1 << bit
		}
	}
	id.Effective = id.Permitted
	if r.IntN(4) == 0 {
		id.Effective &= r.Uint32()
	}
	return id
}

// A branch is a file below two directories.
type branch [3]policy.Owned

var usualModes = []uint32{0, 0o400, 0o440, 0o444, 0o600, 0o640, 0o644, 0o700, 0o710, 0o711, 0o750, 0o755, 0o704, 0o077, 0o070, 0o007}

func drawBranch(r *rand.Rand, ns namespace, id identity) branch {
	var b branch
	for i := range b {
		b[i] = policy.Owned{
			UID:  drawOwner(r, ns.uids, id.RUID, id.FSUID),
			GID:  drawOwner(r, ns.gids, append(slices.Clone(id.Groups), id.RGID, id.FSGID)...),
			Mode: r.Uint32N(0o1000), Dir: i < 2,
		}
		if r.IntN(2) == 0 {
			b[i].Mode = pick(r, usualModes)
		}
	}
	for i := range 2 { // else few get as far as the file
		if r.IntN(2) == 0 {
			b[i].Mode |= 0o111
		}
	}
	return b
}

// A drawn caller, and the branches it tries.
type drawn struct {
	id       identity
	branches [branches]branch
}

// draw draws all callers of a namespace, which the policy of the mount has to
// know beforehand.
func draw(r *rand.Rand, ns namespace) (all [identities]drawn) {
	for i := range all {
		d := &all[i]
		d.id = drawIdentity(r, ns)
		for j := range d.branches {
			d.branches[j] = drawBranch(r, ns, d.id)
		}
	}
	return all
}

func drawOwner(r *rand.Rand, maps []syscall.SysProcIDMap, callers ...uint32) uint32 {
	id := pick(r, callers)
	switch r.IntN(3) {
	case 0:
		return pick(r, strangers)
	case 1:
		id = pick(r, mapped(maps))
	}
	host, _ := outside(maps, id)
	return host
}
