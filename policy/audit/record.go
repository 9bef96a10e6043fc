// Package audit keeps the log of who read which secret: one JSON line a read,
// chained by hashes so that a changed, removed or reordered line is found. It
// knows neither the filesystem nor the policy.
//
// The chain: `prev` is the hex SHA-256 of the line before, without its newline,
// and "" in the very first line; `seq` counts from 1. Both go on over restarts and
// over files that were rotated by renaming. Beside the log lie NAME.head, which
// keeps the chain's end over a rotation, and NAME.torn-TIME, a line that a power
// cut or a kill has left unfinished.
package audit

import (
	"errors"
	"time"
)

// ErrNotRecorded: the record did not reach the file. The read that it was
// about must not happen.
var ErrNotRecorded = errors.New("audit record not written")

// An Outcome says how a read ended.
type Outcome string

// The outcomes of a read.
const (
	Allowed Outcome = "allowed"
	Refused Outcome = "refused"
	Failed  Outcome = "error"
)

// A Record is one line of the log. It never holds a secret nor a hash of one.
// Seq and Prev are filled in by the log.
type Record struct {
	Time    time.Time
	Seq     uint64
	Outcome Outcome
	Path    string // relative to the mount
	Backend string
	Version string
	PID     uint32
	TID     uint32
	UID     uint32
	GID     uint32
	Exe     string
	Unit    string // systemd unit or container
	Rule    string // what decided: a mode bit or an `only:` rule
	Errno   string // name of the errno ("EACCES"), empty for an allowed read
	Elapsed time.Duration
	Resent  bool // the kernel sent the request again after a crash
	Stale   bool // the last good version, since a newer one could not be had
	Prev    string
}
