package policy

// An Only narrows a secret further than owner, group and mode, root included.
// Every kind of rule that is given must hold; within a kind any entry does.
// The zero value narrows nothing.
type Only struct {
	Units       []string // systemd system units, by full name
	Executables []string // absolute paths, compared by FileID
	Users       []string // names or numbers
	Groups      []string
}

// A Perm is what the policy says about who may read a file. Equal ones are
// shared. The zero value is root, mode 0: nobody but a capable root.
type Perm struct {
	Owner, Group string // names or numbers; resolved by Names
	Mode         uint32 // permission bits, at most 0o777
	Only         Only
}
