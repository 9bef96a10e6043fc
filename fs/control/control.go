// Package control is the conversation between the commands of secretfs and the
// worker of a running mount: one JSON line each way over a unix socket that is
// open to root and to the mount's own user only. It carries names, states and
// sentences, never a secret: what is typed for `secretfs unlock` goes through a
// pipe whose descriptor comes with the request.
//
// The holder makes the listener and every worker inherits it, so that the
// socket outlives a worker: who connects while none is there waits in the
// kernel's queue, and who was being served by one that died asks the next.
package control

import (
	"encoding/json"
	"errors"
	"time"
)

// The commands that a worker answers.
const (
	CmdStatus  = "status"  // nil -> Status
	CmdList    = "list"    // nil -> []Entry
	CmdExplain = "explain" // ExplainRequest -> Explanation
	CmdRefresh = "refresh" // RefreshRequest -> nil
	CmdWait    = "wait"    // WaitRequest -> nil, once all of them can be read
	CmdReload  = "reload"  // nil -> nil
	CmdUpgrade = "upgrade" // UpgradeRequest -> nil; the answer may be lost with the worker
	CmdUmount  = "umount"  // UmountRequest -> UmountAnswer; likewise
	CmdInherit = "inherit" // nil -> Passed; for the next holder, see Client.Inherit
	CmdUnlock  = "unlock"  // UnlockRequest -> UnlockAnswer; see Client.Unlock
	CmdLock    = "lock"    // LockRequest -> nil
)

// idempotent commands are asked again when the worker dies before it answered.
var idempotent = map[string]bool{
	CmdStatus: true, CmdList: true, CmdExplain: true,
	CmdRefresh: true, CmdWait: true, CmdReload: true,
	CmdUnlock: true, CmdLock: true,
}

var (
	// ErrNoDaemon: there is no socket at the path, or nobody serves it.
	ErrNoDaemon = errors.New("no secretfs is running here")
	// ErrBroken: the worker died before it answered, and the command must
	// not be repeated blindly.
	ErrBroken = errors.New("the connection broke before the answer")
)

// An Error is a handler's error as the client gets it. A handler may return
// one to choose the exit code of the command; any other error has code 1.
type Error struct {
	Sentence string
	Code     int
}

func (e *Error) Error() string { return e.Sentence }

const (
	maxRequest  = 1 << 20  // bytes; a wait may name many paths
	maxResponse = 64 << 20 // bytes; the status of 100,000 secrets is 15 MB

	requestTimeout  = 10 * time.Second // from connect to the whole request
	responseTimeout = 10 * time.Second // to take the answer off our hands
)

// request is one line from client to worker.
type request struct {
	Command string          `json:"command"`
	Args    json.RawMessage `json:"args,omitempty"`
}

// response is the one line that answers it.
type response struct {
	OK     bool            `json:"ok"`
	Result json.RawMessage `json:"result,omitempty"`
	Error  string          `json:"error,omitempty"`
	Code   int             `json:"code,omitempty"`
}
