package fs

import (
	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"

	"github.com/secretfs/secretfs/fs/table"
)

// Noted is f for a kernel that cannot resend requests: each one that somebody
// waits for is noted in the table before it is handled, so that the next worker
// can answer those that this one takes with it. Between read(2) and the note is
// a moment in which one is lost all the same.
func (f *FS) Noted() fuse.RawFileSystem { return &noted{RawFileSystem: f, table: f.cfg.Table} }

// Abandoned has those requests answered that an earlier worker took with it:
// with ESTALE, at which path walks begin anew, and which open(2) shows to no
// program the first time; with EINTR what belongs to an open file.
func (f *FS) Abandoned(answer func(table.Pending) (waited bool)) { f.cfg.Table.Left(answer) }

type noted struct {
	fuse.RawFileSystem
	table *table.Table
}

// note begins a request; what it gives ends it.
func (n *noted) note(h *fuse.InHeader, errno unix.Errno) func() {
	slot := n.table.Begin(table.Pending{Unique: h.Unique, Node: table.NodeID(h.NodeId), TID: h.Pid, Errno: int32(errno)})
	return func() { n.table.End(slot) }
}

func (n *noted) Lookup(cancel <-chan struct{}, h *fuse.InHeader, name string, out *fuse.EntryOut) fuse.Status {
	defer n.note(h, unix.ESTALE)()
	return n.RawFileSystem.Lookup(cancel, h, name, out)
}

func (n *noted) GetAttr(cancel <-chan struct{}, in *fuse.GetAttrIn, out *fuse.AttrOut) fuse.Status {
	defer n.note(&in.InHeader, unix.ESTALE)()
	return n.RawFileSystem.GetAttr(cancel, in, out)
}

func (n *noted) Open(cancel <-chan struct{}, in *fuse.OpenIn, out *fuse.OpenOut) fuse.Status {
	defer n.note(&in.InHeader, unix.ESTALE)()
	return n.RawFileSystem.Open(cancel, in, out)
}

func (n *noted) Read(cancel <-chan struct{}, in *fuse.ReadIn, buf []byte) (fuse.ReadResult, fuse.Status) {
	defer n.note(&in.InHeader, unix.EINTR)()
	return n.RawFileSystem.Read(cancel, in, buf)
}

func (n *noted) OpenDir(cancel <-chan struct{}, in *fuse.OpenIn, out *fuse.OpenOut) fuse.Status {
	defer n.note(&in.InHeader, unix.ESTALE)()
	return n.RawFileSystem.OpenDir(cancel, in, out)
}

func (n *noted) ReadDir(cancel <-chan struct{}, in *fuse.ReadIn, out *fuse.DirEntryList) fuse.Status {
	defer n.note(&in.InHeader, unix.EINTR)()
	return n.RawFileSystem.ReadDir(cancel, in, out)
}

func (n *noted) Access(cancel <-chan struct{}, in *fuse.AccessIn) fuse.Status {
	defer n.note(&in.InHeader, unix.ESTALE)()
	return n.RawFileSystem.Access(cancel, in)
}

func (n *noted) GetXAttr(cancel <-chan struct{}, h *fuse.InHeader, attr string, dest []byte) (uint32, fuse.Status) {
	defer n.note(h, unix.ESTALE)()
	return n.RawFileSystem.GetXAttr(cancel, h, attr, dest)
}

func (n *noted) ListXAttr(cancel <-chan struct{}, h *fuse.InHeader, dest []byte) (uint32, fuse.Status) {
	defer n.note(h, unix.ESTALE)()
	return n.RawFileSystem.ListXAttr(cancel, h, dest)
}

func (n *noted) StatFs(cancel <-chan struct{}, h *fuse.InHeader, out *fuse.StatfsOut) fuse.Status {
	defer n.note(h, unix.EINTR)()
	return n.RawFileSystem.StatFs(cancel, h, out)
}

// SetAttr is the touch of the holder, which tries again.
func (n *noted) SetAttr(cancel <-chan struct{}, in *fuse.SetAttrIn, out *fuse.AttrOut) fuse.Status {
	defer n.note(&in.InHeader, unix.EINTR)()
	return n.RawFileSystem.SetAttr(cancel, in, out)
}
