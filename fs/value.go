package fs

import (
	"context"
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"github.com/secretfs/secretfs/backend/secret"
	"github.com/secretfs/secretfs/fs/table"
)

// load fetches the value and makes the node carry it, as a backing file where
// the kernel reads by itself, else as a snapshot. The caller holds the path's
// lock and knows that no open handle stands in the way.
func (f *FS) load(ctx context.Context, o *opening) (table.Carried, error) {
	old := f.cfg.Table.Carried(o.id)
	s, err := o.get(ctx)
	if err != nil {
		return table.Carried{}, err
	}
	defer o.fetched.destroy()
	if old.Object != 0 && s.Version != "" && old.Version == string(s.Version) {
		return old, nil
	}
	c := table.Carried{Size: int64(s.Value.Len()), Version: string(s.Version)}
	if f.passthrough() {
		c.Object, err = f.back(s.Value)
		if err != nil {
			// The holder is dead, or the tmpfs is full: this idle node can be
			// served by ourselves.
			f.cfg.Log.Warn("serving without passthrough", "node", o.id, "error", err)
		}
	}
	if c.Object == 0 {
		c.Object, err = f.direct.add(s.Value)
	}
	if err != nil {
		return table.Carried{}, err
	}
	f.cfg.Table.Carry(o.id, c)
	f.forget(o.id, old.Object)
	if f.kernel != nil {
		// The size may be news. It is not waited for.
		_ = f.kernel.InvalidateInode(uint64(o.id))
	}
	return c, nil
}

// back makes a backing file of a value and registers it with the kernel.
func (f *FS) back(v *secret.Value) (int32, error) {
	file, err := unlinked(f.cfg.Backing, v)
	if err != nil {
		return 0, err
	}
	defer file.Close()
	return f.cfg.Store.Register(file, true)
}

// unlinked copies a value into a file that has no name, on the detached tmpfs.
func unlinked(dir *os.File, v *secret.Value) (*os.File, error) {
	fd, err := unix.Openat(int(dir.Fd()), ".", unix.O_TMPFILE|unix.O_RDWR|unix.O_CLOEXEC, 0o400)
	if err != nil {
		return nil, fmt.Errorf("making a backing file: %w", err)
	}
	file := os.NewFile(uintptr(fd), "backing")
	for b := v.Bytes(); len(b) > 0; {
		n, err := unix.Write(fd, b)
		if err != nil && err != unix.EINTR {
			file.Close()
			return nil, fmt.Errorf("filling a backing file: %w", err)
		}
		b = b[max(n, 0):]
	}
	return file, nil
}

// forget drops an object that its node no longer carries. Open handles of
// passthrough read on without it; snapshots go with their last handle.
func (f *FS) forget(id table.NodeID, object int32) {
	switch {
	case object > 0:
		go f.drop(object)
	case object < 0:
		f.direct.unused(object, id, f.cfg.Table)
	}
}

func (f *FS) drop(object int32) {
	if err := f.cfg.Store.Drop(object); err != nil {
		f.cfg.Log.Warn("dropping a backing file", "error", err)
	}
}

// expire drops what an idle node carries, once it has been idle for the
// policy's linger.
func (f *FS) expire(id table.NodeID) {
	lock, err := f.locks.lock(context.Background(), f.cfg.Table.Primary(id))
	if err != nil {
		return
	}
	defer f.locks.unlock(lock)
	c := f.cfg.Table.Carried(id)
	if c.Object == 0 || f.cfg.Table.Busy(id) {
		return
	}
	f.cfg.Table.Carry(id, table.Carried{})
	f.forget(id, c.Object)
}

// Adopt takes over what an earlier worker left: objects that nobody refers to
// are dropped, idle ones expire in time.
func (f *FS) Adopt(objects []int32) {
	used := f.cfg.Table.Objects()
	f.cfg.Table.EachCarried(func(id table.NodeID, c table.Carried) {
		used[c.Object] = true
		if !f.cfg.Table.Busy(id) {
			f.linger.schedule(id, f.cfg.Gate.View().Policy.Linger)
		}
	})
	var unused []int32
	for _, object := range objects {
		if !used[object] {
			unused = append(unused, object)
		}
	}
	if err := f.cfg.Store.Drop(unused...); err != nil {
		f.cfg.Log.Warn("dropping what a dead worker left", "error", err)
	}
}

// errSnapshotLost is what a read meets whose snapshot died with a worker: this
// kernel has no memory that could have outlived it.
var errSnapshotLost = errors.New("the open file's content was lost with a worker that died")
