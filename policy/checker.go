package policy

// A Checker puts questions together from what a policy says, what its names
// mean now, and decides them. It takes no lock and does no I/O, so that it is
// fit for FUSE handlers, and is safe for concurrent use.
type Checker struct {
	Tree        *Tree
	Names       *Names
	Executables *Executables
	// UserUnits makes `only: units` mean units of the user's own manager.
	UserUnits bool
}

// Owned is who owns n and with what mode, as GETATTR shows it. isDir says as
// what a Dynamic turned out.
func (k *Checker) Owned(n Node, isDir bool) Owned {
	if isDir || n.Kind == Dir {
		return k.Names.Dir(n.Perm, n.DirMode)
	}
	return k.Names.File(n.Perm)
}

// usualDepth is how many directories cost no allocation.
const usualDepth = 8

// File decides whether c may read the file at path, about which the tree says
// n.
func (k *Checker) File(c *Caller, path string, n Node) Decision {
	if n.Perm == nil {
		return Decision{}
	}
	ids := k.Names.ids.Load()
	q := Question{Caller: c, Path: path, Perm: n.Perm, Want: WantRead, Only: k.onlyIDs(ids, &n.Perm.Only)}
	q.File, q.Unknown = ids.file(n.Perm)
	return k.decide(ids, &q)
}

// Dir decides whether c may do want to the directory at path, about which the
// tree says n: WantRead to list it, WantExec to look something up in it.
func (k *Checker) Dir(c *Caller, path string, n Node, want Want) Decision {
	if n.Perm == nil {
		return Decision{}
	}
	ids := k.Names.ids.Load()
	q := Question{Caller: c, Path: path, Perm: n.Perm, Want: want}
	q.File, q.Unknown = ids.dir(n.Perm, n.DirMode)
	return k.decide(ids, &q)
}

func (k *Checker) decide(ids *idSnapshot, q *Question) Decision {
	var nodes [usualDepth]Node
	var dirs [usualDepth]Owned
	q.Dirs = dirs[:0]
	for _, n := range k.Tree.Ancestors(nodes[:0], q.Path) {
		owned, _ := ids.dir(n.Perm, n.DirMode)
		q.Dirs = append(q.Dirs, owned)
	}
	q.UserUnits = k.UserUnits
	decision := Decide(q)
	if !decision.Allowed {
		k.kick(q)
	}
	return decision
}

// kick has what may be out of date looked up again, for the next attempt.
func (k *Checker) kick(q *Question) {
	if q.Unknown != "" || len(q.Perm.Only.Users)+len(q.Perm.Only.Groups) > 0 {
		k.Names.Kick()
	}
	if len(q.Perm.Only.Executables) > 0 {
		k.Executables.Kick()
	}
}

func (k *Checker) onlyIDs(ids *idSnapshot, only *Only) (o OnlyIDs) {
	for _, path := range only.Executables {
		if id, ok := k.Executables.File(path); ok {
			o.Executables = append(o.Executables, id)
		}
	}
	for _, name := range only.Users {
		if id, ok := ids.user(name); ok {
			o.Users = append(o.Users, id)
		}
	}
	for _, name := range only.Groups {
		if id, ok := ids.group(name); ok {
			o.Groups = append(o.Groups, id)
		}
	}
	return o
}
