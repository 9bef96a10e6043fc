package control

import "time"

// A Status is how a mount is doing. Scripts rely on the JSON names.
type Status struct {
	Mount     string    `json:"mount"`
	Policy    string    `json:"policy"` // the policy file in force
	Audit     string    `json:"audit"`  // the audit log's file
	AuditHead AuditHead `json:"audit_head"`
	HolderPID int       `json:"holder_pid"`
	WorkerPID int       `json:"worker_pid"`
	Version   string    `json:"version"`
	Since     time.Time `json:"since"`    // when it was mounted
	Restarts  int       `json:"restarts"` // workers that were replaced
	// Resend says that the kernel repeats what a dead worker left
	// unanswered (FUSE_NOTIFY_RESEND, Linux 6.9).
	Resend bool `json:"resend"`
	// Passthrough says that the kernel reads open secrets by itself.
	Passthrough bool `json:"passthrough"`
	// UpgradeError says why the last upgrade did not work; empty if it did.
	UpgradeError string `json:"upgrade_error"`
	// Notices are sentences about what is not as it should be and belongs
	// to no single backend or secret.
	Notices  []string  `json:"notices"`
	Backends []Backend `json:"backends"`
	Secrets  []Secret  `json:"secrets"`
}

// An AuditHead is the last record written: its sequence number and the hex
// SHA-256 of its line. Seq is 0 where there is none.
type AuditHead struct {
	Seq  uint64 `json:"seq"`
	Hash string `json:"hash"`
}

// A Backend is one configured backend in a Status. State is a backend.State.
type Backend struct {
	Name  string `json:"name"`
	Type  string `json:"type"`
	State string `json:"state"`
	Error string `json:"error"`
	// Asks are the credentials that `secretfs unlock` would ask for.
	Asks []string `json:"asks,omitempty"`
}

// A Secret is one configured secret in a Status. State is a backend.State.
type Secret struct {
	Path    string `json:"path"`
	State   string `json:"state"`
	Backend string `json:"backend"`
	Version string `json:"version"`
	Size    int64  `json:"size"` // bytes; -1 while it is not known
	Error   string `json:"error"`
}

// The kinds of Entry.
const (
	KindSecret    = "secret"
	KindDirectory = "directory" // listed and resolved on demand
)

// An Entry is one line of `secretfs list`: what the policy exposes, and to
// whom.
type Entry struct {
	Path    string `json:"path"`
	Kind    string `json:"kind"`
	Backend string `json:"backend"`
	Key     string `json:"key"`
	Owner   string `json:"owner"` // as the policy has it: name or number
	Group   string `json:"group"`
	Mode    string `json:"mode"` // octal: "0400"
	Only    Only   `json:"only"`
}

// Only is the part of an Entry that narrows it further than its mode.
type Only struct {
	Units       []string `json:"units,omitempty"`
	Executables []string `json:"executables,omitempty"`
	Users       []string `json:"users,omitempty"`
	Groups      []string `json:"groups,omitempty"`
}

// An ExplainRequest asks whether Path could be read by a process (PID, as the
// worker's pid namespace numbers it), or by who User, Unit and Executable
// describe: root, where User is empty.
type ExplainRequest struct {
	Path       string `json:"path"`
	PID        uint32 `json:"pid,omitempty"`
	User       string `json:"user,omitempty"` // name or number
	Unit       string `json:"unit,omitempty"`
	Executable string `json:"executable,omitempty"`
}

// An Explanation answers an ExplainRequest.
type Explanation struct {
	Path    string `json:"path"`
	Allowed bool   `json:"allowed"`
	Rule    string `json:"rule"`  // what decides: a mode bit or an `only:` rule
	Errno   string `json:"errno"` // what open(2) would give, or empty
	// Steps are the sentences that lead there, in the order of deciding.
	Steps []string `json:"steps"`
}

// A RefreshRequest has the backends of Paths look again; none means all.
type RefreshRequest struct {
	Paths []string `json:"paths"`
}

// A WaitRequest waits until each of Paths can be read.
type WaitRequest struct {
	Paths []string `json:"paths"`
}

// An UnlockRequest gives a backend what opens it. Without Fields it asks what
// there is to be asked, or has one that lacks nothing opened.
type UnlockRequest struct {
	Backend string  `json:"backend"`
	Fields  []Field `json:"fields,omitempty"` // what comes through the pipe, one after the other
}

// A Field is a credential that was typed.
type Field struct {
	Name string `json:"name"`
	Len  int    `json:"len"` // bytes
}

// An UnlockAnswer says whether the backend is open. If not, Error says why, and
// Asks what it lacks: one that was given before is there again if it was wrong.
type UnlockAnswer struct {
	Open  bool       `json:"open"`
	Error string     `json:"error,omitempty"`
	Asks  []Question `json:"asks,omitempty"`
}

// A Question is what the user is asked for.
type Question struct {
	Field  string `json:"field"`
	Prompt string `json:"prompt"`
}

// A LockRequest has backends forget what opens them and all values; none named
// means all.
type LockRequest struct {
	Backends []string `json:"backends"`
}

// An UmountRequest ends the mount. A busy one is refused unless Lazy, which
// takes it out of sight at once and ends it when the last file is closed.
type UmountRequest struct {
	Lazy bool `json:"lazy"`
}

// An UmountAnswer says what is left to do.
type UmountAnswer struct {
	// Orphaned says that nobody is there to unmount: the holder has died, and
	// the worker may not. Whoever asked has to.
	Orphaned bool   `json:"orphaned"`
	Mount    string `json:"mount"`
}

// An UpgradeRequest names the program to go on with, by absolute path.
type UpgradeRequest struct {
	Binary string `json:"binary"`
}
