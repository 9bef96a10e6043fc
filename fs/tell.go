package fs

import (
	"sync"
	"time"

	"github.com/secretfs/secretfs/fs/table"
)

// tellAttempts bounds how often a node is touched until the touch has arrived:
// readers who find the node busy make the name lead elsewhere meanwhile.
const (
	tellAttempts = 64
	tellPause    = 10 * time.Millisecond // at most, between two of them
)

// touches are the nodes that the holder has touched since it was last asked to.
type touches struct {
	mu    sync.Mutex
	nodes map[table.NodeID]bool
}

func (t *touches) add(id table.NodeID) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.nodes != nil {
		t.nodes[id] = true
	}
}

func (t *touches) take() (nodes map[table.NodeID]bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	nodes, t.nodes = t.nodes, make(map[table.NodeID]bool)
	return nodes
}

// Tell has touch called until watchers of every node of paths have been told:
// inotify watches a node, whatever its name leads to now. The primary one comes
// last, where most watches and bind mounts are. It must not run in a handler,
// nor twice at a time.
func (f *FS) Tell(paths []string, touch func([]string) error) {
	nodes := make([][]table.NodeID, len(paths))
	most := 0
	for i, path := range paths {
		if id, ok := f.cfg.Table.Find(path); ok {
			nodes[i] = f.cfg.Table.Incarnations(id)
		}
		most = max(most, len(nodes[i]))
	}
	for k := most - 1; k >= 0; k-- {
		round := make(map[table.NodeID]string)
		for i, path := range paths {
			if k < len(nodes[i]) {
				round[nodes[i][k]] = path
			}
		}
		f.tellNodes(round, touch)
	}
}

// tellNodes touches one node of each of some paths.
func (f *FS) tellNodes(round map[table.NodeID]string, touch func([]string) error) {
	var err error
	for attempt := range tellAttempts {
		time.Sleep(min(time.Duration(attempt)*time.Millisecond, tellPause))
		var paths []string
		for id, path := range round {
			if !f.lead(path, id) {
				delete(round, id)
				continue
			}
			if attempt > 0 {
				// An answer that was on its way has made the name lead elsewhere.
				f.expireName(path)
			}
			paths = append(paths, path)
		}
		if len(paths) == 0 {
			return
		}
		f.touched.take()
		err = touch(paths) // what is busy at the moment will be touched the next time
		for id := range f.touched.take() {
			delete(round, id)
		}
	}
	f.cfg.Log.Warn("telling watchers", "untold", len(round), "error", err)
}
