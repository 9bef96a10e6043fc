package fs

import (
	"context"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"

	"github.com/secretfs/secretfs/backend"
	"github.com/secretfs/secretfs/fs/caller"
	"github.com/secretfs/secretfs/fs/table"
	"github.com/secretfs/secretfs/policy"
	"github.com/secretfs/secretfs/policy/gate"
)

// resentBit marks a request that the kernel sends again after a crash.
const resentBit = 1 << 63

// An opening is one OPEN on its way.
type opening struct {
	id     table.NodeID
	tid    uint32
	unique uint64
	want   backend.Version // the version to serve; empty: whatever is fetched
	stale  bool            // a newer one could not be had
	fetch  gate.Fetch
	// fetched is what it gave, if it has been called.
	fetched fetched
	// noatime is how overlayfs opens (fs/overlayfs/file.c). A name that leads
	// to another node is an error to it, so it is not sent to look again.
	noatime bool
	// isInit asks whether the caller is some PID 1, which rather gets the last
	// value than waits. init is the answer, once there is something to wait for.
	isInit func() bool
	init   bool
}

// Open answers FUSE_OPEN: who asks, may they, make the value ready, record,
// and only then answer.
func (f *FS) Open(cancel <-chan struct{}, in *fuse.OpenIn, out *fuse.OpenOut) fuse.Status {
	if writes(in.Flags) {
		return fuse.EROFS
	}
	ctx := withInterrupt(cancel)
	path, dir, ok := f.cfg.Table.Path(table.NodeID(in.NodeId))
	if !ok {
		return fuse.Status(unix.ESTALE)
	}
	if dir {
		return fuse.EISDIR
	}
	unique, resent := in.Unique&^resentBit, in.Unique&resentBit != 0
	if fh, ok := f.cfg.Table.Resent(unique); resent && ok {
		f.release(fh)
	}
	at, err := f.find(ctx, path)
	if err != nil {
		at.path = path // refused all the same, and recorded as such
	}
	request := gate.Request{
		Path: path, UID: in.Uid, GID: in.Gid, FindErr: err, Resent: resent, Errno: errnoName,
		Identify: func(needs policy.Needs) (*policy.Caller, error) {
			c, err := f.cfg.Proc.Lookup(in.Pid, in.Uid, in.Gid, callerNeeds(needs))
			return &c, err
		},
	}
	var handle table.Handle
	err = f.cfg.Gate.Open(ctx, request, func(ctx context.Context, fetch gate.Fetch) (served gate.Served, err error) {
		o := opening{
			id: table.NodeID(in.NodeId), tid: in.Pid, unique: unique,
			want: at.current(), stale: at.info.Stale != nil, fetch: fetch,
			isInit:  func() bool { return f.isInit(&in.InHeader) },
			noatime: in.Flags&unix.O_NOATIME != 0,
		}
		handle, served.Version, err = f.open(ctx, &o)
		served.Stale = o.stale
		return served, err
	})
	if err != nil {
		if handle.FH != 0 {
			f.release(handle.FH)
		}
		return status(err)
	}
	out.Fh, out.OpenFlags = handle.FH, fuse.FOPEN_NOFLUSH|fuse.FOPEN_DIRECT_IO
	if handle.Object > 0 {
		out.OpenFlags = fuse.FOPEN_NOFLUSH | fuse.FOPEN_PASSTHROUGH
		out.BackingID = handle.Object
	}
	return fuse.OK
}

// callerNeeds is what to look up for an OPEN: reading /proc is its dearest
// part.
func callerNeeds(n policy.Needs) (needs caller.Needs) {
	if n.Power {
		needs |= caller.NeedPower
	}
	if n.File {
		needs |= caller.NeedFile
	}
	return needs
}

// isInit says whether the caller is PID 1 of any pid namespace. Its request is
// unanswered, so that it is there to be asked about.
func (f *FS) isInit(h *fuse.InHeader) bool {
	c, err := f.cfg.Proc.Lookup(h.Pid, h.Uid, h.Gid, caller.NeedInit)
	return err == nil && c.Init
}

// open makes a handle that reads one version.
func (f *FS) open(ctx context.Context, o *opening) (table.Handle, backend.Version, error) {
	if h, v, ok := f.openCurrent(o); ok {
		return h, v, nil
	}
	if o.init = o.isInit(); o.init {
		var done context.CancelFunc
		ctx, done = context.WithTimeout(ctx, initDeadline)
		defer done()
	}
	lock, err := f.locks.lock(ctx, f.cfg.Table.Primary(o.id))
	if err != nil {
		return table.Handle{}, "", err
	}
	defer f.locks.unlock(lock)
	again := f.cfg.Table.TakeRetry(o.tid, o.id, o.unique)
	carried := f.cfg.Table.Carried(o.id)
	if carried.Object != 0 && o.want == "" {
		if err := f.learn(ctx, o, lock); err != nil {
			return f.lastValue(o, carried, err)
		}
		defer o.fetched.destroy()
	}
	if o.wants(carried) {
		return f.handle(o, carried)
	}
	if carried.Object != 0 && f.cfg.Table.Busy(o.id) {
		return f.openBusy(o, carried, again || o.noatime)
	}
	lock.slow.Store(true)
	if carried, err = f.load(ctx, o); err != nil {
		return f.lastValue(o, f.cfg.Table.Carried(o.id), err)
	}
	return f.handle(o, carried)
}

// lastValue is what a PID 1 gets that would have to wait longer.
func (f *FS) lastValue(o *opening, carried table.Carried, err error) (table.Handle, backend.Version, error) {
	if o.init && carried.Object != 0 && Errno(err) == unix.ETIMEDOUT {
		return f.handle(o, carried)
	}
	return table.Handle{}, "", err
}

// learn finds out which version is to be served, where memory does not tell.
func (f *FS) learn(ctx context.Context, o *opening, lock *pathLock) error {
	// Who had the lock before us may have learnt what is current.
	at, _ := f.findNode(ctx, uint64(o.id))
	if o.want = at.current(); o.want != "" {
		return nil
	}
	lock.slow.Store(true)
	s, err := o.get(ctx)
	if err == nil {
		o.want = s.Version
	}
	return err
}

// get fetches the value, once.
func (o *opening) get(ctx context.Context) (*backend.Secret, error) {
	if o.fetched.secret != nil {
		return o.fetched.secret, nil
	}
	s, err := o.fetch(ctx, !o.init)
	if err == nil {
		o.fetched.secret, o.stale = s, s.Stale != nil
	}
	return s, err
}

// A fetched value is wiped when its OPEN is answered.
type fetched struct{ secret *backend.Secret }

func (f *fetched) destroy() {
	if f.secret != nil {
		f.secret.Value.Destroy()
		f.secret = nil
	}
}

// openCurrent opens the version that is wanted if the node carries it, side by
// side with others who do the same.
func (f *FS) openCurrent(o *opening) (h table.Handle, v backend.Version, ok bool) {
	lock, ok := f.locks.share(f.cfg.Table.Primary(o.id))
	if !ok {
		return h, v, false
	}
	defer f.locks.unshare(lock)
	carried := f.cfg.Table.Carried(o.id)
	if !o.wants(carried) {
		return h, v, false
	}
	f.cfg.Table.TakeRetry(o.tid, o.id, o.unique)
	h, v, err := f.handle(o, carried)
	return h, v, err == nil
}

// wants says that c is the version to serve.
func (o *opening) wants(c table.Carried) bool {
	return c.Object != 0 && o.want != "" && c.Version == string(o.want)
}

// openBusy answers an OPEN of a node whose open handles read an older version.
// A node can have only one at a time: one backing file, or one length and one
// set of pages, which mappings of direct I/O share. The caller is sent to look
// the name up again, where it finds another node of the same path. One that
// cannot (a bind mount of that one file, /proc/self/fd) comes back to the same
// node and gets the older version: never a second ESTALE, which would reach the
// program. Where another node would break something (overlayfs, a mount on top)
// it is the older version at once.
func (f *FS) openBusy(o *opening, carried table.Carried, again bool) (table.Handle, backend.Version, error) {
	if path, _, _ := f.cfg.Table.Path(o.id); again || f.covered(path) {
		return f.handle(o, carried)
	}
	next, err := f.idle(o.id, o.want)
	if err != nil {
		return f.handle(o, carried)
	}
	f.cfg.Table.SetCurrent(next)
	f.cfg.Table.SetRetry(o.tid, o.id, o.unique)
	return table.Handle{}, "", gate.Again(errStale)
}

// idle finds or makes a node of n's path that can carry a version.
func (f *FS) idle(n table.NodeID, v backend.Version) (table.NodeID, error) {
	for _, id := range f.cfg.Table.Incarnations(n) {
		if !f.cfg.Table.Busy(id) || f.cfg.Table.Carried(id).Version == string(v) {
			return id, nil
		}
	}
	return f.cfg.Table.AddIncarnation(n)
}

func (f *FS) handle(o *opening, c table.Carried) (table.Handle, backend.Version, error) {
	h := table.Handle{Node: o.id, Object: c.Object, Size: c.Size}
	var err error
	if h.FH, err = f.cfg.Table.Open(o.unique, h); err != nil {
		return h, "", err
	}
	if f.outdated(o.id, c) {
		// While nobody had it open, the kernel may have been told the length
		// of the version that comes next.
		_ = f.kernel.InvalidateInode(uint64(o.id))
	}
	return h, backend.Version(c.Version), nil
}

// outdated says that the backend has another version by now than the one that
// the node carries.
func (f *FS) outdated(id table.NodeID, c table.Carried) bool {
	at, err := f.findNode(context.Background(), uint64(id))
	return err == nil && at.infoErr == nil && at.info.Version != "" && at.info.Version != backend.Version(c.Version)
}

// Release answers FUSE_RELEASE, which can come twice.
func (f *FS) Release(_ <-chan struct{}, in *fuse.ReleaseIn) { f.release(in.Fh) }

func (f *FS) release(fh uint64) {
	h, last, ok := f.cfg.Table.Release(fh)
	if !ok {
		return
	}
	if h.Object < 0 {
		f.direct.unused(h.Object, h.Node, f.cfg.Table)
	}
	if last {
		f.linger.schedule(h.Node, f.cfg.Gate.View().Policy.Linger)
	}
}

// Access answers FUSE_ACCESS, for access(2) and chdir(2).
func (f *FS) Access(cancel <-chan struct{}, in *fuse.AccessIn) fuse.Status {
	at, err := f.findNode(withInterrupt(cancel), in.NodeId)
	if err != nil {
		return status(err)
	}
	if in.Mask == unix.F_OK {
		return fuse.OK
	}
	if in.Mask&unix.W_OK != 0 {
		return fuse.EROFS
	}
	needs := caller.NeedReal | caller.NeedFile
	if at.dir && in.Mask == unix.X_OK {
		needs |= caller.NeedPower // the two calls look the same, and chdir(2) has to work
	}
	c, err := f.cfg.Proc.Lookup(in.Pid, in.Uid, in.Gid, needs)
	if err != nil {
		return fuse.EACCES
	}
	return status(f.cfg.Gate.Access(at.path, at.dir, c, policy.Want(in.Mask&7)))
}

func errnoName(err error) string { return unix.ErrnoName(Errno(err)) }
