package fs

import (
	"context"
	"strings"
	"time"

	"github.com/secretfs/secretfs/fs/table"
	"github.com/secretfs/secretfs/policy"
)

// Changed is called when a backend has noticed a change. It tells the kernel
// what to ask again, and returns the paths whose watchers are to be told. It
// must not run in a handler.
func (f *FS) Changed(name string) (touched []string) {
	f.relist()
	f.cfg.Table.Each(func(id table.NodeID, path string, dir bool) {
		n, ok := f.cfg.Gate.View().Tree.Lookup(path)
		if !ok || n.Backend != name {
			return
		}
		at, err := f.find(context.Background(), path)
		switch {
		case err != nil || at.dir != dir:
			f.expireName(path) // it is gone, or a file where a directory was
		case dir:
			_ = f.kernel.InvalidateInode(uint64(id)) // best effort: the mount may be going
			touched = append(touched, path)
		case f.rotated(id, at):
			touched = append(touched, path)
		}
	})
	return touched
}

// rotated brings the kernel up to date about one file and says whether it has
// a new version.
func (f *FS) rotated(id table.NodeID, at found) bool {
	seen, _ := f.cfg.Table.Seen(id)
	if at.infoErr != nil || at.info.Version == "" || seen == string(at.info.Version) {
		return false
	}
	f.cfg.Table.See(id, string(at.info.Version), time.Now().UnixNano())
	f.comeHome(id, at.path)
	for _, k := range f.cfg.Table.Incarnations(id) {
		_ = f.kernel.InvalidateInode(uint64(k))
	}
	return true
}

// comeHome lets the name of a quiet path lead to its primary node again.
func (f *FS) comeHome(primary table.NodeID, path string) {
	if !f.cfg.Table.Busy(primary) {
		f.lead(path, primary)
	}
}

// lead makes a name lead to one of the nodes of its path, and says whether it
// does now.
func (f *FS) lead(path string, id table.NodeID) bool {
	current, ok := f.cfg.Table.Find(path)
	if !ok || current == id {
		return ok
	}
	if f.covered(path) {
		return false
	}
	f.cfg.Table.SetCurrent(id)
	f.expireName(path)
	return true
}

func (f *FS) expireName(path string) {
	dir, name := "", path
	if i := strings.LastIndexByte(path, '/'); i >= 0 {
		dir, name = path[:i], path[i+1:]
	}
	if parent, ok := f.cfg.Table.Find(dir); ok {
		_ = f.kernel.ExpireEntry(uint64(parent), name)
	}
}

// Reconfigured is called when another view is in force: owners and modes may
// have changed, names may be gone or mean something else.
func (f *FS) Reconfigured() {
	f.relist()
	view := f.cfg.Gate.View()
	f.cfg.Table.Each(func(id table.NodeID, path string, dir bool) {
		n, ok := view.Tree.Lookup(path)
		if !ok || n.Kind == policy.Dynamic || dir != (n.Kind == policy.Dir) {
			f.expireName(path)
		}
		for _, k := range f.cfg.Table.Incarnations(id) {
			_ = f.kernel.InvalidateInode(uint64(k))
		}
	})
}

// relist has directories listed anew.
func (f *FS) relist() {
	f.lists.mu.Lock()
	f.lists.epoch++
	f.lists.mu.Unlock()
}
