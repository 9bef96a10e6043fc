package fs

import (
	"context"
	"errors"
	"syscall"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"

	"github.com/secretfs/secretfs/backend"
	"github.com/secretfs/secretfs/policy/audit"
	"github.com/secretfs/secretfs/policy/gate"
)

// errStale makes the kernel look the name up again and open what it finds.
var errStale = errors.New("node is busy with an older version")

// errnos says what each kind of error looks like to a program. The first match
// wins. What is not in it is a mistake of our own: EIO. ENOSYS must never be
// in it: the kernel takes it for "opens always succeed, don't ask again".
var errnos = []struct {
	err   error
	errno syscall.Errno
}{
	{gate.ErrRefused, unix.EACCES},
	{audit.ErrNotRecorded, unix.EIO},
	{errStale, unix.ESTALE},
	{backend.ErrNotFound, unix.ENOENT},
	{backend.ErrLocked, unix.ENOKEY},
	{backend.ErrRejected, unix.EKEYREJECTED},
	{backend.ErrExpired, unix.EKEYEXPIRED},
	{backend.ErrCorrupt, unix.EBADMSG},
	{backend.ErrUnavailable, unix.EHOSTUNREACH},
	{backend.ErrTimeout, unix.ETIMEDOUT},
	{backend.ErrUnsupported, unix.EOPNOTSUPP},
	{context.DeadlineExceeded, unix.ETIMEDOUT},
	{context.Canceled, unix.EINTR},
}

// Errno is the errno that err is shown as; 0 for nil.
func Errno(err error) syscall.Errno {
	if err == nil {
		return 0
	}
	for _, e := range errnos {
		if errors.Is(err, e.err) {
			return e.errno
		}
	}
	return unix.EIO
}

func status(err error) fuse.Status { return fuse.Status(Errno(err)) }
