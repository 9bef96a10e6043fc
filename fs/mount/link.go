package mount

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/secretfs/secretfs/backend"
	"github.com/secretfs/secretfs/fs/table"
)

// ErrNoHolder is what a Link's methods return once the holder is dead. The
// worker serves on without.
var ErrNoHolder = errors.New("the holder is gone")

// callTimeout bounds what a worker waits for the holder in a handler.
const callTimeout = 2 * time.Second

// A Link is a worker's end of its link to the holder. Its methods are safe for
// concurrent use.
type Link struct {
	peer   *peer
	escrow *escrow
	// Gone is closed when the holder is dead.
	Gone <-chan struct{}
}

// Inherited are the descriptors that a worker gets when it takes over.
type Inherited struct {
	Dev     *os.File
	Table   *os.File
	Control *net.UnixListener
	Store   *os.File // nil in user mounts
}

// Connect opens the link that the holder left on descriptor 3.
func Connect() (*Link, error) {
	unix.CloseOnExec(linkFD)
	p, gone, err := newPeer(os.NewFile(linkFD, "link"), func(m *message) (answer, error) {
		return answer{}, fmt.Errorf("answering %q: a worker answers no calls", m.Op)
	})
	if err != nil {
		return nil, fmt.Errorf("a worker is started by secretfs mount, not by hand: %w", err)
	}
	return &Link{peer: p, escrow: newEscrow(), Gone: gone}, nil
}

func (l *Link) call(op string, body, result any, files ...*os.File) ([]*os.File, error) {
	ctx, cancel := context.WithTimeout(context.Background(), callTimeout)
	defer cancel()
	return l.callCtx(ctx, op, body, result, files...)
}

func (l *Link) callCtx(ctx context.Context, op string, body, result any, files ...*os.File) ([]*os.File, error) {
	got, err := l.peer.call(ctx, op, body, result, files...)
	if errors.Is(err, errPeerGone) {
		return nil, ErrNoHolder
	}
	return got, err
}

// Plan tells the holder what to mount, and waits until it is. It refuses a node
// table that this program cannot read, before Prepared ends a worker that can.
func (l *Link) Plan(ctx context.Context, p Plan) (Ground, error) {
	var g Ground
	nodes, err := one(l.callCtx(ctx, opPlan, p, &g))
	if err != nil {
		return g, err
	}
	defer nodes.Close()
	return g, table.Check(nodes)
}

// Failed tells the holder why this worker is about to end.
func (l *Link) Failed(err error) {
	_, _ = l.call(opFailed, named{Name: err.Error()}, nil) // it sees the end all the same
}

// Ground tells how things stand with the holder.
func (l *Link) Ground() (Ground, error) {
	var g Ground
	_, err := l.call(opGround, nil, &g)
	return g, err
}

// Prepared ends the worker before this one and takes over its place.
func (l *Link) Prepared(ctx context.Context) (Inherited, error) {
	files, err := l.callCtx(ctx, opPrepared, nil, nil)
	if err != nil {
		return Inherited{}, err
	}
	if len(files) < 3 {
		return Inherited{}, fmt.Errorf("taking over: got %d descriptors, expected at least 3", len(files))
	}
	in := Inherited{Dev: files[0], Table: files[1]}
	if len(files) > 3 {
		in.Store = files[3]
	}
	listener, err := net.FileListener(files[2])
	files[2].Close()
	if err != nil {
		return in, fmt.Errorf("taking over the control socket: %w", err)
	}
	in.Control = listener.(*net.UnixListener)
	in.Control.SetUnlinkOnClose(false)
	return in, nil
}

// Serving tells the holder that requests are being read.
func (l *Link) Serving() error {
	_, err := l.call(opServing, nil, nil)
	return err
}

// Register gives the holder a file to serve from and returns its id: a backing
// file id (positive) or a snapshot's (negative). Without a holder snapshots are
// taken all the same, and backing files give ErrNoHolder.
func (l *Link) Register(f *os.File, backing bool) (int32, error) {
	var ids idList
	_, err := l.call(opRegister, registerRequest{Backing: backing}, &ids, f)
	if errors.Is(err, ErrNoHolder) && !backing {
		return l.escrow.adopt(f)
	}
	if err != nil {
		return 0, err
	}
	if len(ids.IDs) != 1 {
		return 0, fmt.Errorf("registering: got %d ids, expected one", len(ids.IDs))
	}
	l.escrow.know(ids.IDs[0])
	l.escrow.put(ids.IDs[0], f)
	return ids.IDs[0], nil
}

// Drop forgets objects that nobody needs any more.
func (l *Link) Drop(ids ...int32) error {
	const batch = 1000
	for len(ids) > 0 {
		n := min(len(ids), batch)
		_, err := l.call(opDrop, idList{IDs: ids[:n]}, nil)
		l.escrow.drop(ids[:n], err)
		if err != nil && !errors.Is(err, ErrNoHolder) {
			return err
		}
		ids = ids[n:]
	}
	return nil
}

// Objects lists the ids of all objects that the holder keeps.
func (l *Link) Objects() ([]int32, error) {
	var ids idList
	_, err := l.call(opDrop, idList{}, &ids)
	l.escrow.know(ids.IDs...)
	return ids.IDs, err
}

// Hoard fetches the snapshots that earlier workers registered, so that they
// outlive the holder.
func (l *Link) Hoard() {
	for _, id := range l.escrow.missing() {
		f, err := l.Fetch(id)
		if err != nil {
			continue // dropped meanwhile
		}
		f.Close()
	}
}

// Fetch asks for a snapshot that an earlier worker registered.
func (l *Link) Fetch(id int32) (*os.File, error) {
	if f := l.escrow.snapshot(id); f != nil {
		return f, nil
	}
	f, err := one(l.call(opFetch, idList{IDs: []int32{id}}, nil))
	if err == nil {
		l.escrow.put(id, f)
	}
	return f, err
}

// Touch makes inotify watchers of paths (relative to the mount) see that they
// have changed. The holder comes back with LOOKUP and SETATTR meanwhile, so it
// must not be called from a FUSE handler.
func (l *Link) Touch(ctx context.Context, paths []string) error {
	_, err := l.callCtx(ctx, opTouch, touchRequest{Paths: paths}, nil)
	return err
}

// Helper starts a helper for a backend and returns the connection to it. The
// error wraps fs.ErrNotExist if the program is not installed.
func (l *Link) Helper(ctx context.Context, backendName string, call backend.HelperCall) (net.Conn, error) {
	kind := call.Kind
	ours, theirs, err := helperSocket()
	if err != nil {
		return nil, fmt.Errorf("starting helper %s: %w", kind, err)
	}
	defer ours.Close()
	defer theirs.Close()
	r := helperRequest{HelperCall: call, Backend: backendName}
	if deadline, ok := ctx.Deadline(); ok {
		r.Milli = time.Until(deadline).Milliseconds()
	}
	var a helperAnswer
	if _, err := l.callCtx(ctx, opHelper, r, &a, theirs); err != nil {
		return nil, err
	}
	if a.Missing {
		return nil, fmt.Errorf("starting helper %s: the program that serves it: %w", kind, fs.ErrNotExist)
	}
	return net.FileConn(ours)
}

// Notify passes a message on to the service manager (sd_notify(3)).
func (l *Link) Notify(state string) error {
	_, err := l.call(opNotify, named{Name: state}, nil)
	return err
}

// Stop unmounts. Without lazy, a busy mount is left as it is and busy names
// who uses it.
func (l *Link) Stop(ctx context.Context, lazy bool) (busy []string, err error) {
	var a stopAnswer
	_, err = l.callCtx(ctx, opStop, stopRequest{Lazy: lazy}, &a)
	return a.Busy, err
}

// Upgrade has the holder replace itself by binary; this worker ends when the
// new program's first one takes over.
func (l *Link) Upgrade(ctx context.Context, binary string) error {
	_, err := l.callCtx(ctx, opUpgrade, upgradeRequest{Binary: binary}, nil)
	return err
}

func one(files []*os.File, err error) (*os.File, error) {
	if err != nil {
		return nil, err
	}
	if len(files) != 1 {
		closeAll(files)
		return nil, fmt.Errorf("got %d descriptors, expected one", len(files))
	}
	return files[0], nil
}
