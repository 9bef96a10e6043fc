package fs

import (
	"context"
	"errors"
	"sort"
	"sync"

	"github.com/hanwen/go-fuse/v2/fuse"

	"github.com/secretfs/secretfs/backend"
	"github.com/secretfs/secretfs/fs/caller"
	"github.com/secretfs/secretfs/policy"
	"github.com/secretfs/secretfs/policy/gate"
)

// An entry is a name in a directory with its place in the stream: an offset
// that follows from the name alone, so that a listing goes on where it was
// after a crash, a reload or a rotation, with no name lost or doubled.
type entry struct {
	name   string
	dir    bool
	offset uint64
}

// offsets of "." and "..": every other name comes after them.
const firstOffset = 3

// listings keeps the sorted entries of the directory that was listed last,
// since one listing takes many requests.
type listings struct {
	mu      sync.Mutex
	path    string
	view    *gate.View
	changes uint64
	entries []entry
	epoch   uint64 // counts changes of backends
}

// OpenDir answers FUSE_OPENDIR.
func (f *FS) OpenDir(cancel <-chan struct{}, in *fuse.OpenIn, _ *fuse.OpenOut) fuse.Status {
	at, err := f.findNode(withInterrupt(cancel), in.NodeId)
	if err != nil {
		return status(err)
	}
	c, err := f.cfg.Proc.Lookup(in.Pid, in.Uid, in.Gid, caller.NeedAll)
	if err != nil {
		return fuse.EACCES
	}
	return status(f.cfg.Gate.Access(at.path, true, c, policy.WantRead))
}

// ReleaseDir has nothing to release: a directory's handle holds no state.
func (f *FS) ReleaseDir(*fuse.ReleaseIn) {}

// ReadDir answers FUSE_READDIR.
func (f *FS) ReadDir(cancel <-chan struct{}, in *fuse.ReadIn, out *fuse.DirEntryList) fuse.Status {
	at, err := f.findNode(withInterrupt(cancel), in.NodeId)
	if err != nil {
		return status(err)
	}
	entries, err := f.entries(withInterrupt(cancel), at)
	if err != nil {
		return status(err)
	}
	for i, name := range []string{".", ".."} {
		if in.Offset <= uint64(i) && !out.AddDirEntry(fuse.DirEntry{Name: name, Mode: fuse.S_IFDIR, Ino: in.NodeId, Off: uint64(i + 1)}) {
			return fuse.OK
		}
	}
	next := sort.Search(len(entries), func(i int) bool { return entries[i].offset > in.Offset })
	for _, e := range entries[next:] {
		if !out.AddDirEntry(f.dirEntry(at.path, e)) {
			break
		}
	}
	return fuse.OK
}

func (f *FS) dirEntry(dir string, e entry) fuse.DirEntry {
	d := fuse.DirEntry{Name: e.name, Mode: fuse.S_IFREG, Off: e.offset}
	if e.dir {
		d.Mode = fuse.S_IFDIR
	}
	if id, ok := f.cfg.Table.Find(join(dir, e.name)); ok {
		d.Ino = uint64(f.cfg.Table.Primary(id))
	}
	return d
}

// entries lists a directory: what the policy has, and what its backend has on
// top.
func (f *FS) entries(ctx context.Context, at found) ([]entry, error) {
	l := &f.lists
	l.mu.Lock()
	epoch := l.epoch
	if l.view == at.view && l.path == at.path && l.changes == epoch && l.entries != nil {
		defer l.mu.Unlock()
		return l.entries, nil
	}
	l.mu.Unlock()
	entries, err := f.list(ctx, at)
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	l.view, l.path, l.changes, l.entries = at.view, at.path, epoch, entries
	l.mu.Unlock()
	return entries, nil
}

func (f *FS) list(ctx context.Context, at found) ([]entry, error) {
	var entries []entry
	for _, c := range at.view.Tree.Children(at.path) {
		entries = append(entries, entry{name: c.Name, dir: c.Dir, offset: offset(c.Name)})
	}
	if at.node.Backend != "" {
		listed, err := f.listBackend(ctx, at, nameDeadline)
		if err != nil && (len(entries) == 0 || errors.Is(err, context.Canceled)) && !errors.Is(err, backend.ErrNotFound) {
			return nil, err
		}
		for _, e := range listed {
			path := join(at.path, e.Name)
			if _, static := at.view.Static(path); !static && visible(e.Name) {
				entries = append(entries, entry{name: e.Name, dir: e.Dir, offset: offset(e.Name)})
			}
		}
	}
	sort.Slice(entries, func(i, j int) bool {
		if entries[i].offset != entries[j].offset {
			return entries[i].offset < entries[j].offset
		}
		return entries[i].name < entries[j].name
	})
	separate(entries)
	return entries, nil
}

// separate gives names whose offsets collide offsets of their own.
func separate(entries []entry) {
	for i := 1; i < len(entries); i++ {
		if entries[i].offset <= entries[i-1].offset {
			entries[i].offset = entries[i-1].offset + 1
		}
	}
}

// offset is where a name stands in every listing, for every worker.
func offset(name string) uint64 {
	const prime, basis = 1099511628211, 14695981039346656037 // FNV-1a
	h := uint64(basis)
	for i := range len(name) {
		h = (h ^ uint64(name[i])) * prime
	}
	return max(h>>2, firstOffset)
}

// visible says whether a backend's name can be a file's name.
func visible(name string) bool {
	if name == "" || name == "." || name == ".." || len(name) > 255 {
		return false
	}
	for i := range len(name) {
		if name[i] == '/' || name[i] == 0 {
			return false
		}
	}
	return true
}
