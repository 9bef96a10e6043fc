package policy

import "slices"

// A Want is a set of accesses asked for. The bits are those of access(2) and
// of one class of a mode, so no Want at all (F_OK) is always permitted.
type Want uint8

// The accesses. WantExec on a directory is search.
const (
	WantExec  Want = 1
	WantWrite Want = 2
	WantRead  Want = 4
)

// What Owned.Permits names as the ground of a permission.
const (
	ByOwner         = "owner"
	ByGroup         = "group"
	ByOther         = "other"
	ByDACOverride   = "CAP_DAC_OVERRIDE"
	ByDACReadSearch = "CAP_DAC_READ_SEARCH"
)

// invalidID is what the kernel reports where an id has no value in a user
// namespace. It equals no id, not even itself.
const invalidID = ^uint32(0)

// Owned is what a permission check needs to know of a file or directory. UID
// and GID are ids of the initial user namespace, Mode holds permission bits.
type Owned struct {
	UID, GID uint32
	Mode     uint32
	Dir      bool
}

// Permits says whether the kernel would let c do want to a file or directory
// without ACLs, and on which ground (By...; "" when refused). It is
// generic_permission of fs/namei.c: one class of mode bits applies and no
// other, then the capabilities of path_resolution(7). It does not look at
// directories on the way nor at the mount being read-only.
func (o Owned) Permits(c *Caller, want Want) (ok bool, by string) {
	bits, class := o.class(c)
	if uint32(want)&^bits == 0 {
		return true, class
	}
	readSearch := want == WantRead || o.Dir && want&WantWrite == 0
	if readSearch && c.DACReadSearch && o.mappedFor(c) {
		return true, ByDACReadSearch
	}
	override := o.Dir || want&WantExec == 0 || o.Mode&0o111 != 0
	if override && c.DACOverride && o.mappedFor(c) {
		return true, ByDACOverride
	}
	return false, ""
}

// Suffices says that whoever has the ids may do want whatever its
// supplementary groups and capabilities are, so they need not be looked up.
func (o Owned) Suffices(uid, gid uint32, want Want) bool {
	bits, class := o.class(&Caller{UID: uid, GID: gid})
	if class == ByOther {
		bits &= o.Mode >> 3 // a supplementary group may be the file's
	}
	return uint32(want)&^bits == 0
}

// class is the class of mode bits that applies to c.
func (o Owned) class(c *Caller) (bits uint32, class string) {
	switch {
	case o.UID == c.UID && o.UID != invalidID:
		return o.Mode >> 6 & 7, ByOwner
	case o.GID != invalidID && (o.GID == c.GID || slices.Contains(c.Groups, o.GID)):
		return o.Mode >> 3 & 7, ByGroup
	default:
		return o.Mode & 7, ByOther
	}
}

// mappedFor is capable_wrt_inode_uidgid: a capability counts only where its
// holder's user namespace maps both owner and group.
func (o Owned) mappedFor(c *Caller) bool {
	return Maps(c.UIDMap, o.UID) && Maps(c.GIDMap, o.GID)
}
