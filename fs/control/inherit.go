package control

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"

	"golang.org/x/sys/unix"
)

// A Passed is a handler's result that is a descriptor. It is closed once it is
// sent.
type Passed struct{ File *os.File }

// Inherit asks a worker that has lost its holder to hand over. What it returns
// is one end of the link over which the worker then answers; an *Error says that
// its holder lives.
func (c *Client) Inherit(ctx context.Context) (*os.File, error) {
	line, err := encode(CmdInherit, nil)
	if err != nil {
		return nil, err
	}
	var r fileReader
	if err := c.exchange(ctx, line, nil, nil, &r); err != nil {
		r.close()
		return nil, err
	}
	if r.file == nil {
		return nil, errors.New("taking over from a worker: it has sent no descriptor")
	}
	return r.file, nil
}

// A fileReader reads from a socket and takes the descriptor that comes with
// what it reads (SCM_RIGHTS, unix(7)).
type fileReader struct {
	conn *net.UnixConn
	file *os.File
}

func (r *fileReader) Read(p []byte) (int, error) {
	oob := make([]byte, unix.CmsgSpace(4))
	n, oobn, _, _, err := r.conn.ReadMsgUnix(p, oob)
	if err == nil && n == 0 {
		err = io.EOF
	}
	n = max(n, 0)
	controls, parseErr := unix.ParseSocketControlMessage(oob[:oobn])
	if parseErr != nil {
		return n, err
	}
	for i := range controls {
		fds, rightsErr := unix.ParseUnixRights(&controls[i])
		if rightsErr != nil {
			continue
		}
		for _, fd := range fds {
			unix.CloseOnExec(fd)
			r.close()
			r.file = os.NewFile(uintptr(fd), "passed")
		}
	}
	return n, err
}

func (r *fileReader) close() {
	if r.file != nil {
		r.file.Close()
	}
}

// pass sends a descriptor beside the whole answer.
func pass(conn *net.UnixConn, line []byte, file *os.File) error {
	defer file.Close()
	if _, _, err := conn.WriteMsgUnix(line, unix.UnixRights(int(file.Fd())), nil); err != nil {
		return fmt.Errorf("passing a descriptor: %w", err)
	}
	return nil
}
