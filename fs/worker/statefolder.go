package worker

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"github.com/secretfs/secretfs/backend"
	"github.com/secretfs/secretfs/backend/disk"
	"github.com/secretfs/secretfs/fs/mount"
	"github.com/secretfs/secretfs/policy"
)

// A stateFolder is the state directory as this worker has found it.
type stateFolder struct {
	path     string // empty where the policy needs none
	writable bool
	mount    int // what it is on; 0 if it is not there
}

const (
	// folderCheck is how often it is looked whether a folder is the same still.
	folderCheck = time.Second
	// handOver is the time that the answer to a command has to leave us.
	handOver = 100 * time.Millisecond
)

// stateFolder makes the state directory if p needs one. Without it backends serve
// all the same, and say that they can keep nothing. It gives the path without
// symlinks, on which nothing can be mounted.
func (w *worker) stateFolder(p *policy.Policy) stateFolder {
	if !p.KeepsState {
		return stateFolder{}
	}
	f := stateFolder{path: p.State}
	err := os.MkdirAll(p.State, 0o700)
	if err == nil {
		var real string
		if real, err = filepath.EvalSymlinks(p.State); err == nil {
			f.path, f.writable = real, true
		}
	}
	if err != nil {
		w.log.Error("making the state directory: nothing outlives a reboot without", "error", err)
	}
	return f
}

// store is a backend's part of the state directory.
func (w *worker) store(spec policy.Backend, p *policy.Policy) backend.Store {
	if !w.cfg.Env.Drivers[spec.Type].Disk {
		return nil
	}
	return disk.New(p.State, spec.Name, "")
}

// watchState ends this worker when another folder has taken the place of the
// state directory, in which we could not write.
func (w *worker) watchState(ctx context.Context) {
	if w.state.path == "" || !w.ground.System {
		return
	}
	tick := time.NewTicker(folderCheck)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if now := mount.At(w.state.path); now != w.state.mount && (now != 0 || w.state.writable) {
			w.giveWay("the state directory has been replaced")
		}
	}
}

// followState ends this worker, after its answer, when p needs a state directory
// that we may not write to.
func (w *worker) followState(p *policy.Policy) {
	if !p.KeepsState || !w.ground.System {
		return
	}
	if real, err := filepath.EvalSymlinks(p.State); err == nil && real == w.state.path && w.state.writable {
		return
	}
	time.AfterFunc(handOver, func() { w.giveWay("the policy needs a state directory") })
}

// giveWay ends this worker. The next one begins with a look at the machine as it
// is then, before it is locked up. Without a holder there would be no next one.
func (w *worker) giveWay(why string) {
	select {
	case <-w.link.Gone:
		return
	default:
	}
	w.log.Warn(fmt.Sprintf("%s: giving way to the next worker", why))
	time.Sleep(50 * time.Millisecond) // the log has a queue
	// By a signal, so that it does not count as a fault.
	_ = unix.Kill(os.Getpid(), unix.SIGKILL)
}
