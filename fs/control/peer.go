package control

import (
	"context"
	"fmt"
	"net"
	"os"

	"golang.org/x/sys/unix"
)

// A Peer is the process at the other end, as it was when it connected
// (SO_PEERCRED, unix(7)).
type Peer struct{ PID, UID, GID uint32 }

// PeerOf tells who asked, within a Handler.
func PeerOf(ctx context.Context) (Peer, bool) {
	p, ok := ctx.Value(peerKey{}).(Peer)
	return p, ok
}

func peerOf(conn *net.UnixConn) (Peer, error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return Peer{}, fmt.Errorf("asking who connected: %w", err)
	}
	var cred *unix.Ucred
	var optErr error
	err = raw.Control(func(fd uintptr) {
		cred, optErr = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	})
	if err == nil {
		err = optErr
	}
	if err != nil {
		return Peer{}, fmt.Errorf("asking who connected: %w", err)
	}
	return Peer{PID: uint32(cred.Pid), UID: cred.Uid, GID: cred.Gid}, nil
}

// authorize refuses everybody but root and our own user. The socket's mode says
// the same; this holds where someone changed that.
func (p Peer) authorize() error {
	own := uint32(os.Geteuid())
	if p.UID == 0 || p.UID == own {
		return nil
	}
	return fmt.Errorf("user %d may not control this mount, only root and user %d may", p.UID, own)
}
