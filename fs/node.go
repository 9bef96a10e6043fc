package fs

import (
	"context"
	"strings"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"

	"github.com/secretfs/secretfs/backend"
	"github.com/secretfs/secretfs/fs/table"
	"github.com/secretfs/secretfs/policy"
	"github.com/secretfs/secretfs/policy/gate"
)

// A found is what a path is at the moment.
type found struct {
	view *gate.View
	path string
	node policy.Node
	dir  bool
	// info is what the backend knows without fetching; its Size is unknown
	// where it knows nothing, and infoErr says why.
	info    backend.Info
	infoErr error
}

// current is the version that is served without asking, if there is one.
func (at *found) current() backend.Version {
	if at.info.Due {
		return ""
	}
	return at.info.Version
}

// find says what is at path. It asks the policy, and backends only for what
// they have in memory.
func (f *FS) find(ctx context.Context, path string) (found, error) {
	v := f.cfg.Gate.View()
	n, ok := v.Tree.Lookup(path)
	if !ok || hidden(path) {
		return found{}, backend.ErrNotFound
	}
	at := found{view: v, path: path, node: n, dir: n.Kind == policy.Dir, info: backend.Info{Size: backend.SizeUnknown}}
	if at.dir {
		return at, nil
	}
	r, ok := v.Backends.Lookup(n.Backend)
	if !ok {
		return found{}, backend.ErrNotFound
	}
	limit := statDeadline
	if n.Kind == policy.Dynamic {
		limit = nameDeadline
	}
	wait := briefly(ctx, limit)
	defer wait.end()
	at.info, at.infoErr = r.Stat(wait, n.Key)
	if at.infoErr != nil {
		at.info = backend.Info{Size: backend.SizeUnknown}
	}
	if n.Kind == policy.Dynamic {
		at.dir = at.info.Dir
		return at, at.infoErr
	}
	return at, nil
}

// hidden keeps names that the filesystem cannot have out of dynamic
// directories.
func hidden(path string) bool {
	return len(path) > unix.PathMax || len(path)-strings.LastIndexByte(path, '/') > 256
}

// findNode says what a node id stands for.
func (f *FS) findNode(ctx context.Context, id uint64) (found, error) {
	path, dir, ok := f.cfg.Table.Path(table.NodeID(id))
	if !ok {
		return found{}, errStale
	}
	at, err := f.find(ctx, path)
	if err == nil && at.dir != dir {
		return found{}, backend.ErrNotFound
	}
	return at, err
}

func join(dir, name string) string {
	if dir == "" {
		return name
	}
	return dir + "/" + name
}

// Lookup answers FUSE_LOOKUP.
func (f *FS) Lookup(cancel <-chan struct{}, header *fuse.InHeader, name string, out *fuse.EntryOut) fuse.Status {
	dir, isDir, ok := f.cfg.Table.Path(table.NodeID(header.NodeId))
	if !ok {
		return fuse.Status(unix.ESTALE)
	}
	if !isDir {
		return fuse.ENOTDIR
	}
	if name == "." || name == ".." || name == "" {
		return fuse.ENOENT
	}
	at, err := f.find(withInterrupt(cancel), join(dir, name))
	if err != nil {
		return status(err)
	}
	id, err := f.cfg.Table.Intern(at.path, at.dir)
	if err != nil {
		return fuse.Status(unix.ENOSPC)
	}
	out.SetEntryTimeout(timeout(at))
	if !at.dir && f.cfg.Table.Retrying(header.Pid, id) {
		if next := f.elsewhere(id, &at); next != id {
			id = next
			out.SetEntryTimeout(0) // for this one thread
		}
	}
	out.NodeId, out.Generation = uint64(id), 1
	f.attr(at, id, &out.Attr)
	out.SetAttrTimeout(timeout(at))
	return fuse.OK
}

// elsewhere is the node for a thread that was told ESTALE and looks the name up
// again. Watchers are told of a change through nodes that may be busy with an
// older version, to which the name leads for that moment: the thread, which may
// not be told ESTALE twice, would read that one.
func (f *FS) elsewhere(id table.NodeID, at *found) table.NodeID {
	version := at.current()
	if version == "" || !f.cfg.Table.Busy(id) || f.cfg.Table.Carried(id).Version == string(version) || f.covered(at.path) {
		return id
	}
	next, err := f.idle(id, version)
	if err != nil {
		return id
	}
	return next
}

// Forget is of no consequence: ids are never used again, and FORGET can be
// lost in a crash.
func (f *FS) Forget(uint64, uint64) {}
