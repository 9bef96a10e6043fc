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

// A Case is the reading of one file, as one state of the names has it: what has
// to be known of a caller, and then the decision. Both see the same owners and
// modes, whatever is looked up meanwhile.
type Case struct {
	checker  *Checker
	question Question
}

// Needs says what of a Caller a decision depends on, beyond its ids and unit.
type Needs struct {
	Power bool // groups, capabilities and their maps
	File  bool // which file the executable is
}

// Case prepares to decide about the file at path, about which the tree says n.
func (k *Checker) Case(path string, n Node) *Case {
	if n.Perm == nil {
		return &Case{checker: k}
	}
	ids := k.Names.ids.Load()
	q := Question{Path: path, Perm: n.Perm, Want: WantRead, Only: k.onlyIDs(ids, &n.Perm.Only)}
	q.File, q.Unknown = ids.file(n.Perm)
	k.way(ids, &q)
	return &Case{checker: k, question: q}
}

// Needs says what Decide has to know of a caller with these ids. Without Power
// a Caller has no groups, which is only safe where none could refuse it either.
func (c *Case) Needs(uid, gid uint32) Needs {
	q := &c.question
	if q.Perm == nil {
		return Needs{}
	}
	suffices := q.File.Suffices(uid, gid, q.Want) && len(q.Perm.Only.Groups) == 0
	for _, dir := range q.Dirs {
		suffices = suffices && dir.Suffices(uid, gid, WantExec)
	}
	return Needs{Power: !suffices, File: len(q.Perm.Only.Executables) > 0}
}

// Decide decides whether the caller may read the file.
func (c *Case) Decide(caller *Caller) Decision {
	c.question.Caller = caller
	return c.checker.decide(&c.question)
}

// File decides whether c may do want to the file at path, about which the tree
// says n.
func (k *Checker) File(c *Caller, path string, n Node, want Want) Decision {
	at := k.Case(path, n)
	at.question.Want = want
	return at.Decide(c)
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
	k.way(ids, &q)
	return k.decide(&q)
}

// usualDepth is how many directories cost one allocation.
const usualDepth = 4

// way fills in the directories on the way.
func (k *Checker) way(ids *idSnapshot, q *Question) {
	var nodes [usualDepth]Node
	q.Dirs = make([]Owned, 0, usualDepth)
	for _, n := range k.Tree.Ancestors(nodes[:0], q.Path) {
		owned, _ := ids.dir(n.Perm, n.DirMode)
		q.Dirs = append(q.Dirs, owned)
	}
	q.UserUnits = k.UserUnits
}

func (k *Checker) decide(q *Question) Decision {
	decision := Decide(q)
	if !decision.Allowed && q.Perm != nil {
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
