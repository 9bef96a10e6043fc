// Package fs is the filesystem as the kernel sees it: the tree of the policy
// and of what backends list, open handles, and the errno of every mistake. It
// serves the raw FUSE protocol, because every id that the kernel remembers has
// to mean the same to the next worker; the meaning lies in the table, never in
// this process.
//
// LOOKUP, GETATTR, READDIR and STATFS answer from memory. OPEN is the one place
// that asks a backend, and goes through the gate.
package fs

import (
	"log/slog"
	"os"

	"github.com/hanwen/go-fuse/v2/fuse"

	"github.com/secretfs/secretfs/fs/caller"
	"github.com/secretfs/secretfs/fs/table"
	"github.com/secretfs/secretfs/policy/gate"
)

// A Store keeps what open handles read from, beyond the life of this process.
// The holder's link is one.
type Store interface {
	// Register takes a file to serve from and returns its id: positive for a
	// backing file of passthrough, negative for a snapshot.
	Register(f *os.File, backing bool) (int32, error)
	// Drop forgets objects; handles that are open on them read on.
	Drop(ids ...int32) error
	// Fetch gives back a snapshot.
	Fetch(id int32) (*os.File, error)
}

// A Kernel takes notifications.
type Kernel interface {
	InvalidateInode(node uint64) error
	ExpireEntry(parent uint64, name string) error
}

// A Config is what a filesystem stands on.
type Config struct {
	Table *table.Table
	Gate  *gate.Gate
	Proc  *caller.Proc
	Store Store
	// Backing is a directory in memory that cannot be swapped: for backing files,
	// and for snapshots where the kernel has no memfd_secret(2). It may be nil.
	Backing *os.File
	// Passthrough says that the kernel reads from backing files by itself; else
	// all is served by direct I/O.
	Passthrough bool
	// Holder is the pid that may touch files, to tell their watchers.
	Holder int
	// Covered says whether something is mounted on top of a path, whose name
	// must go on leading to the same node then. It may be nil.
	Covered func(path string) bool
	Log     *slog.Logger
}

// An FS answers the kernel. Its methods are safe for concurrent use.
type FS struct {
	fuse.RawFileSystem

	cfg     Config
	locks   pathLocks
	linger  lingerer
	direct  snapshots
	replies replies
	lists   listings
	touched touches
	kernel  Kernel
}

// New makes a filesystem and takes over what an earlier worker left in the
// table.
func New(cfg Config) *FS {
	f := &FS{RawFileSystem: fuse.NewDefaultRawFileSystem(), cfg: cfg}
	f.locks.held = make(map[table.NodeID]*pathLock)
	f.linger.start(f.expire)
	f.direct.start(cfg)
	return f
}

// Attach sets where notifications go. It is called before the first request.
func (f *FS) Attach(k Kernel) { f.kernel = k }

// Close ends the background work.
func (f *FS) Close() { f.linger.stop() }

// String is how go-fuse names the filesystem in debug output.
func (f *FS) String() string { return "secretfs" }

// covered says whether a mount on top of path would be lost.
func (f *FS) covered(path string) bool { return f.cfg.Covered != nil && f.cfg.Covered(path) }

// passthrough says that the kernel reads open files by itself.
func (f *FS) passthrough() bool { return f.cfg.Passthrough && f.cfg.Backing != nil }
