package mount

import (
	"encoding/binary"
	"fmt"
	"log"
	"os"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// A Conn is a worker's end of the FUSE connection.
type Conn struct {
	fd     int // the number that go-fuse serves on
	dev    *os.File
	server *fuse.Server
	agreed Negotiated
}

// Adopt makes a go-fuse server on a connection whose INIT was answered long
// ago. go-fuse insists on an INIT, so it gets one over a socket pair under the
// number that the real descriptor then takes.
func Adopt(dev *os.File, agreed Negotiated, fs fuse.RawFileSystem, logger *log.Logger) (*Conn, error) {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("adopting the connection: %w", err)
	}
	defer unix.Close(pair[1])
	if _, err := unix.Write(pair[1], initRequest(agreed)); err != nil {
		return nil, fmt.Errorf("adopting the connection: %w", err)
	}
	server, err := fuse.NewServer(fs, fmt.Sprintf("/dev/fd/%d", pair[0]), &fuse.MountOptions{
		ExtraCapabilities:  agreed.Flags,
		DisableReadDirPlus: true,
		DisableSplice:      true,
		MaxBackground:      maxBackground,
		MaxWrite:           maxWrite,
		Logger:             logger,
	})
	if err != nil {
		return nil, fmt.Errorf("adopting the connection: %w", err)
	}
	if err := prefault(server); err != nil {
		return nil, err
	}
	if err := unix.Dup3(int(dev.Fd()), pair[0], unix.O_CLOEXEC); err != nil {
		return nil, fmt.Errorf("adopting the connection: %w", err)
	}
	return &Conn{fd: pair[0], dev: dev, server: server, agreed: agreed}, nil
}

// Serve asks the kernel for the requests that an earlier worker took with it,
// and serves until the mount is gone.
func (c *Conn) Serve() {
	if c.agreed.Resend() {
		// ENOTCONN and ENODEV show in the serving loop too.
		_ = c.notify(notifyResend, nil)
	}
	c.server.Serve()
}

// InvalidateInode makes the kernel ask again for the attributes of a node. It
// waits for nothing, so that handlers may call it (offset -1 leaves page locks
// alone, fs/fuse/inode.c fuse_reverse_inval_inode).
func (c *Conn) InvalidateInode(node uint64) error {
	b := make([]byte, 24)
	binary.LittleEndian.PutUint64(b, node)
	binary.LittleEndian.PutUint64(b[8:], ^uint64(0))
	return c.notify(notifyInvalInode, b)
}

// ExpireEntry makes the kernel look a name up again when it is next used. It
// takes the directory's lock, so it must not be called from a handler.
func (c *Conn) ExpireEntry(parent uint64, name string) error {
	b := make([]byte, 16, 16+len(name)+1)
	binary.LittleEndian.PutUint64(b, parent)
	binary.LittleEndian.PutUint32(b[8:], uint32(len(name)))
	if c.agreed.Flags&flagExpireOnly != 0 {
		binary.LittleEndian.PutUint32(b[12:], expireOnly)
	}
	b = append(append(b, name...), 0)
	return c.notify(notifyInvalEntry, b)
}

// Refuse answers a request that an earlier worker had taken, and says whether
// anybody waited for the answer: the kernel knows no request that was answered.
func (c *Conn) Refuse(unique uint64, errno int32) bool {
	b := make([]byte, sizeOutHeader)
	binary.LittleEndian.PutUint32(b, sizeOutHeader)
	binary.LittleEndian.PutUint32(b[4:], uint32(-errno))
	binary.LittleEndian.PutUint64(b[8:], unique)
	_, err := unix.Write(int(c.dev.Fd()), b)
	return err == nil
}

// notify writes an unsolicited message. ENOENT says that the kernel does not
// have the node or entry cached, which is as good.
func (c *Conn) notify(code int32, body []byte) error {
	b := make([]byte, sizeOutHeader, sizeOutHeader+len(body))
	binary.LittleEndian.PutUint32(b, uint32(sizeOutHeader+len(body)))
	binary.LittleEndian.PutUint32(b[4:], uint32(code))
	_, err := unix.Write(int(c.dev.Fd()), append(b, body...))
	if err == unix.ENOENT {
		return nil
	}
	return err
}
