package fs

import (
	"strings"

	"github.com/hanwen/go-fuse/v2/fuse"

	"github.com/secretfs/secretfs/backend"
	"github.com/secretfs/secretfs/fs/caller"
	"github.com/secretfs/secretfs/policy"
)

const xattrPrefix = "user.secretfs."

// xattrs are the extended attributes of a secret (xattr(7)).
var xattrs = []struct {
	name  string
	value func(found) string
}{
	{xattrPrefix + "backend", func(at found) string { return at.node.Backend }},
	{xattrPrefix + "version", func(at found) string { return string(at.info.Version) }},
	{xattrPrefix + "error", func(at found) string {
		switch {
		case at.infoErr != nil:
			return at.infoErr.Error()
		case at.info.Stale != nil:
			return at.info.Stale.Error()
		}
		return ""
	}},
}

// GetXAttr answers FUSE_GETXATTR. Whoever may read a secret may read these.
func (f *FS) GetXAttr(cancel <-chan struct{}, h *fuse.InHeader, attr string, dest []byte) (uint32, fuse.Status) {
	if !strings.HasPrefix(attr, xattrPrefix) {
		return 0, fuse.ENODATA
	}
	at, st := f.inspect(cancel, h)
	if !st.Ok() {
		return 0, st
	}
	for _, x := range xattrs {
		if value := x.value(at); x.name == attr && value != "" {
			return fill(dest, value)
		}
	}
	return 0, fuse.ENODATA
}

// ListXAttr answers FUSE_LISTXATTR.
func (f *FS) ListXAttr(cancel <-chan struct{}, h *fuse.InHeader, dest []byte) (uint32, fuse.Status) {
	at, st := f.inspect(cancel, h)
	if !st.Ok() {
		return 0, fuse.OK
	}
	var names strings.Builder
	for _, x := range xattrs {
		if x.value(at) != "" {
			names.WriteString(x.name + "\x00")
		}
	}
	return fill(dest, names.String())
}

// inspect finds a secret for somebody who may read it. The error of the last
// attempt counts where the backend's own view shows none.
func (f *FS) inspect(cancel <-chan struct{}, h *fuse.InHeader) (found, fuse.Status) {
	at, err := f.findNode(withInterrupt(cancel), h.NodeId)
	if err != nil {
		return at, status(err)
	}
	if at.dir {
		return at, fuse.ENODATA
	}
	c, err := f.cfg.Proc.Lookup(h.Pid, h.Uid, h.Gid, caller.NeedAll)
	if err != nil {
		return at, fuse.EACCES
	}
	if err := f.cfg.Gate.Access(at.path, false, c, policy.WantRead); err != nil {
		return at, status(err)
	}
	if at.info.Stale != nil {
		return at, fuse.OK // which says why, and what is served
	}
	if at.infoErr == nil {
		at.infoErr = at.info.Err
	}
	if at.infoErr == nil {
		at.infoErr = backendError(at)
	}
	return at, fuse.OK
}

// backendError is why the secret's backend cannot be read from just now.
func backendError(at found) error {
	r, ok := at.view.Backends.Lookup(at.node.Backend)
	if !ok {
		return nil
	}
	switch s := r.Status(); s.State {
	case backend.Ready, backend.Unread:
		return nil
	default:
		return s.Err
	}
}

func fill(dest []byte, value string) (uint32, fuse.Status) {
	if len(dest) == 0 {
		return uint32(len(value)), fuse.OK
	}
	if len(dest) < len(value) {
		return uint32(len(value)), fuse.ERANGE
	}
	return uint32(copy(dest, value)), fuse.OK
}
