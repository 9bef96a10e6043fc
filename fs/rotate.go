package fs

import (
	"context"
	"strings"
	"time"

	"github.com/secretfs/secretfs/backend"
	"github.com/secretfs/secretfs/fs/table"
	"github.com/secretfs/secretfs/policy"
)

// Changed is called when a backend has noticed a change. It tells the kernel
// what to ask again, and returns the paths whose watchers are to be told. It
// must not run in a handler.
func (f *FS) Changed(name string) (touched []string) {
	f.relist()
	dirs := make(map[string]bool)
	f.cfg.Table.Each(func(id table.NodeID, path string, dir bool) {
		n, ok := f.cfg.Gate.View().Tree.Lookup(path)
		if !ok || n.Backend != name {
			return
		}
		if dir {
			dirs[path] = true
			_ = f.kernel.InvalidateInode(uint64(id)) // best effort: the mount may be going
			return
		}
		if f.rotated(id, path) {
			touched = append(touched, path)
		}
	})
	for dir := range dirs {
		touched = append(touched, dir)
	}
	return touched
}

// rotated brings the kernel up to date about one file and says whether it has
// a new version.
func (f *FS) rotated(id table.NodeID, path string) bool {
	at, err := f.find(context.Background(), path)
	if err != nil {
		if at.node.Kind == policy.Dynamic || err != nil {
			f.expireName(path)
		}
		return false
	}
	seen, _ := f.cfg.Table.Seen(id)
	if at.infoErr != nil || seen == string(at.info.Version) {
		return false
	}
	f.cfg.Table.See(id, string(at.info.Version), time.Now().UnixNano())
	f.comeHome(id, path)
	for _, k := range f.cfg.Table.Incarnations(id) {
		_ = f.kernel.InvalidateInode(uint64(k))
	}
	return true
}

// comeHome lets the name of a quiet path lead to its primary node again, which
// is the one that inotify watches and bind mounts sit on.
func (f *FS) comeHome(primary table.NodeID, path string) {
	if current, ok := f.cfg.Table.Find(path); !ok || current == primary || f.cfg.Table.Busy(primary) {
		return
	}
	f.cfg.Table.SetCurrent(primary)
	f.expireName(path)
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

// Watched lists the backends whose secrets the kernel knows.
func (f *FS) relist() {
	f.lists.mu.Lock()
	f.lists.epoch++
	f.lists.mu.Unlock()
}

// Version tells the current version of a path, for status.
func (f *FS) Version(path string) (backend.Info, error) {
	at, err := f.find(context.Background(), path)
	if err != nil {
		return backend.Info{}, err
	}
	return at.info, at.infoErr
}
