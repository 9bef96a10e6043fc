package policy

// A Caller is the process that asks, as the kernel knows it. The zero value
// is nobody: it has no groups, no capabilities, belongs to no unit, and every
// `only:` rule refuses it.
type Caller struct {
	PID, TID uint32
	UID, GID uint32
	// Groups are the supplementary groups.
	Groups []uint32
	// Exe is the path of the executable, for people; File is what rules
	// compare, because the path can be forged with a bind mount.
	Exe  string
	File FileID
	// Unit is the systemd system unit ("mem0.service"), empty where the
	// caller is in none. UserUnit is the unit below a user's own manager.
	Unit, UserUnit string
	// Container is the container's name or id, empty outside of any.
	Container string
	// Init says that the caller is PID 1 of some pid namespace.
	Init bool
	// DACOverride and DACReadSearch are the caller's effective capabilities
	// of that name. They count only for owners and groups that the caller's
	// user namespace maps (user_namespaces(7), "Interaction of user
	// namespaces and capabilities").
	DACOverride, DACReadSearch bool
	UIDMap, GIDMap             []IDRange
}

// A FileID identifies an executable by what cannot be forged.
type FileID struct{ Dev, Ino uint64 }

// An IDRange is a range of ids of the initial user namespace that the caller's
// namespace maps.
type IDRange struct{ First, Count uint32 }

// Maps says whether id is within one of the ranges.
func Maps(ranges []IDRange, id uint32) bool {
	for _, r := range ranges {
		if id >= r.First && uint64(id) < uint64(r.First)+uint64(r.Count) {
			return true
		}
	}
	return false
}
