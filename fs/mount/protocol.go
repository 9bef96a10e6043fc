package mount

import (
	"time"

	"github.com/secretfs/secretfs/backend"
)

// What holder and worker say to each other. The worker calls; the holder
// answers.
const (
	opPlan     = "plan"     // what the policy wants mounted -> Ground
	opFailed   = "failed"   // why the worker that says so is about to end
	opPrepared = "prepared" // ready to serve -> descriptors; ends the worker before this one
	opServing  = "serving"  // requests are being read
	opRegister = "register" // a file to serve from -> its id
	opDrop     = "drop"     // ids that nobody needs
	opFetch    = "fetch"    // a snapshot's descriptor
	opKeep     = "keep"     // a file for the next worker, under a name
	opKept     = "kept"     // ask for it
	opTouch    = "touch"    // tell watchers of these paths
	opHelper   = "helper"   // run a helper on a socket
	opNotify   = "notify"   // a message for the service manager
	opStop     = "stop"     // unmount
	opUpgrade  = "upgrade"  // re-exec the holder
	opGround   = "ground"   // the Ground as it is now
)

// A Plan is what a worker has read in the policy and the holder must know.
type Plan struct {
	Mount   string `json:"mount"`
	Control string `json:"control"`
}

// A Ground is what a worker stands on.
type Ground struct {
	Mount    string     `json:"mount"`
	Control  string     `json:"control"`
	System   bool       `json:"system"`
	MountID  int        `json:"mount_id"`
	Agreed   Negotiated `json:"agreed"`
	Holder   int        `json:"holder"`
	Restarts int        `json:"restarts"`
	Since    time.Time  `json:"since"`
	Kept     []string   `json:"kept"`
	Notices  []string   `json:"notices"`
	// Later says that a worker before the one that asks has had this ground.
	Later bool `json:"later"`
	// UpgradeErr says why the last upgrade did not work.
	UpgradeErr string `json:"upgrade_err,omitempty"`
}

type registerRequest struct {
	Backing bool `json:"backing"` // for passthrough; else a snapshot to keep
}

type idList struct {
	IDs []int32 `json:"ids"`
}

type named struct {
	Name string `json:"name"`
}

type touchRequest struct {
	Paths []string `json:"paths"`
}

type helperRequest struct {
	backend.HelperCall
	Backend string `json:"backend"` // who asks
	Milli   int64  `json:"milli"`   // for how long it waits for the answer
}

type helperAnswer struct {
	Missing bool `json:"missing"` // the program is not installed
}

type stopRequest struct {
	Lazy bool `json:"lazy"`
}

type stopAnswer struct {
	Busy []string `json:"busy"`
}

type upgradeRequest struct {
	Binary string `json:"binary"`
}
