package fs

import (
	"context"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"

	"github.com/secretfs/secretfs/backend"
	"github.com/secretfs/secretfs/fs/table"
)

const (
	// cached is how long the kernel may keep an entry or attributes. It is told
	// of every change, so this is "for ever".
	cached = 365 * 24 * time.Hour
	// uncertain is for what was answered without knowing.
	uncertain = 100 * time.Millisecond

	blockSize = 4096
)

// timeout is how long the kernel may keep what we said of at.
func timeout(at found) time.Duration {
	if at.infoErr != nil {
		return uncertain
	}
	return cached
}

// attr fills in what stat(2) shows.
func (f *FS) attr(at found, id table.NodeID, a *fuse.Attr) {
	owned := at.view.Owned(at.node, at.dir)
	a.Ino = uint64(f.cfg.Table.Primary(id))
	a.Mode, a.Nlink = fuse.S_IFREG|owned.Mode, 1
	if at.dir {
		a.Mode = fuse.S_IFDIR | owned.Mode
		a.Nlink = f.links(at)
	} else {
		a.Size = uint64(f.size(at, id))
		a.Blocks = (a.Size + 511) / 512
	}
	a.Owner = fuse.Owner{Uid: owned.UID, Gid: owned.GID}
	a.Blksize = blockSize
	seconds, nanos := f.changed(at, id)
	a.Atime, a.Mtime, a.Ctime = seconds, seconds, seconds
	a.Atimensec, a.Mtimensec, a.Ctimensec = nanos, nanos, nanos
}

// size is the length that stat shows: that of the version which open handles of
// this node read, else of the current one, else 0 until the first open.
func (f *FS) size(at found, id table.NodeID) int64 {
	carried := f.cfg.Table.Carried(id)
	if carried.Object != 0 && (f.cfg.Table.Busy(id) || at.info.Size < 0) {
		return carried.Size
	}
	return max(at.info.Size, 0)
}

// changed is when the current version was first seen.
func (f *FS) changed(at found, id table.NodeID) (seconds uint64, nanos uint32) {
	version, when := f.cfg.Table.Seen(id)
	if when == 0 || (!at.dir && at.info.Version != "" && version != string(at.info.Version)) {
		when = time.Now().UnixNano()
		if at.infoErr == nil && version == "" {
			f.cfg.Table.See(id, string(at.info.Version), when)
		}
	}
	return uint64(when / 1e9), uint32(when % 1e9)
}

// links is the link count of a directory: its name, its ".", and the ".." of
// each directory in it.
func (f *FS) links(at found) uint32 {
	n := uint32(2 + at.view.Tree.Subdirs(at.path))
	if at.node.Backend == "" {
		return n
	}
	entries, err := f.listBackend(context.Background(), at, statDeadline)
	if err != nil {
		return n
	}
	for _, e := range entries {
		if e.Dir {
			if _, ok := at.view.Static(join(at.path, e.Name)); !ok {
				n++
			}
		}
	}
	return n
}

// listBackend lists what a directory's backend has in memory. It waits for the
// first index no longer than limit.
func (f *FS) listBackend(ctx context.Context, at found, limit time.Duration) ([]backend.Entry, error) {
	r, ok := at.view.Backends.Lookup(at.node.Backend)
	if !ok {
		return nil, backend.ErrNotFound
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	return r.List(ctx, at.node.Key)
}

// GetAttr answers FUSE_GETATTR.
func (f *FS) GetAttr(cancel <-chan struct{}, in *fuse.GetAttrIn, out *fuse.AttrOut) fuse.Status {
	at, err := f.findNode(withInterrupt(cancel), in.NodeId)
	if err != nil {
		return f.goneAttr(in, out, err)
	}
	f.attr(at, table.NodeID(in.NodeId), &out.Attr)
	out.SetTimeout(timeout(at))
	return fuse.OK
}

// goneAttr answers for a path that is no more, while handles on it are open:
// fstat has to go on working for them.
func (f *FS) goneAttr(in *fuse.GetAttrIn, out *fuse.AttrOut, err error) fuse.Status {
	id := table.NodeID(in.NodeId)
	if !f.cfg.Table.Busy(id) {
		return status(err)
	}
	out.Attr = fuse.Attr{
		Ino: uint64(f.cfg.Table.Primary(id)), Mode: fuse.S_IFREG | 0o400, Nlink: 0, Blksize: blockSize,
		Size: uint64(f.cfg.Table.Carried(id).Size),
	}
	out.SetTimeout(uncertain)
	return fuse.OK
}

// SetAttr answers FUSE_SETATTR: the holder touches files to tell their
// watchers, everything else is refused.
func (f *FS) SetAttr(cancel <-chan struct{}, in *fuse.SetAttrIn, out *fuse.AttrOut) fuse.Status {
	const times = fuse.FATTR_ATIME | fuse.FATTR_MTIME | fuse.FATTR_ATIME_NOW | fuse.FATTR_MTIME_NOW | fuse.FATTR_CTIME
	if in.Valid&^times != 0 || !f.fromHolder(&in.InHeader) {
		return fuse.EROFS
	}
	f.touched.add(table.NodeID(in.NodeId))
	get := fuse.GetAttrIn{InHeader: in.InHeader}
	return f.GetAttr(cancel, &get, out)
}

func (f *FS) fromHolder(h *fuse.InHeader) bool {
	c, err := f.cfg.Proc.Lookup(h.Pid, h.Uid, h.Gid, 0)
	return err == nil && int(c.PID) == f.cfg.Holder
}

// StatFs answers FUSE_STATFS without asking anybody. The holder's canary lives
// on it.
func (f *FS) StatFs(_ <-chan struct{}, _ *fuse.InHeader, out *fuse.StatfsOut) fuse.Status {
	out.Bsize, out.Frsize, out.NameLen = blockSize, blockSize, unix.NAME_MAX
	return fuse.OK
}
