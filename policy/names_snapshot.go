package policy

import "maps"

// An idSnapshot is what Names know at one time. It is never changed once
// published.
type idSnapshot struct{ users, groups map[string]uint32 }

func (s *idSnapshot) user(name string) (uint32, bool)  { return resolve(s.users, name) }
func (s *idSnapshot) group(name string) (uint32, bool) { return resolve(s.groups, name) }

// resolve looks name up. A number means itself.
func resolve(ids map[string]uint32, name string) (uint32, bool) {
	if id, ok := ids[name]; ok {
		return id, true
	}
	return parseID(name)
}

// file is who owns a file with that Perm, and which name is unknown, if any,
// as in "owner mem0".
func (s *idSnapshot) file(perm *Perm) (owned Owned, unknown string) {
	uid, gid, unknown := s.owner(perm)
	if unknown != "" {
		return Owned{Mode: perm.Mode & 0o700}, unknown
	}
	return Owned{UID: uid, GID: gid, Mode: perm.Mode}, ""
}

func (s *idSnapshot) dir(perm *Perm, mode uint32) (owned Owned, unknown string) {
	uid, gid, unknown := s.owner(perm)
	if unknown != "" {
		everyones := (mode >> 6) & (mode >> 3) & mode & 7
		return Owned{Mode: mode&0o700 | everyones, Dir: true}, unknown
	}
	return Owned{UID: uid, GID: gid, Mode: mode, Dir: true}, ""
}

func (s *idSnapshot) owner(perm *Perm) (uid, gid uint32, unknown string) {
	uid, ok := s.user(perm.Owner)
	if !ok {
		return 0, 0, "owner " + perm.Owner
	}
	gid, ok = s.group(perm.Group)
	if !ok {
		return 0, 0, "group " + perm.Group
	}
	return uid, gid, ""
}

func (s *idSnapshot) same(o *idSnapshot) bool {
	return maps.Equal(s.users, o.users) && maps.Equal(s.groups, o.groups)
}
