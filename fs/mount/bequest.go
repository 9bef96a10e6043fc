package mount

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sort"

	"golang.org/x/sys/unix"

	"github.com/secretfs/secretfs/fs/control"
)

// opBequeath is the one call that goes the other way: a new holder asks the
// worker of a dead one, over the link that it got through the control socket.
const opBequeath = "bequeath"

// bequestBatch is how many descriptors travel in one message.
const bequestBatch = 48

type bequeathRequest struct {
	From int `json:"from"`
}

type bequest struct {
	State state    `json:"state"`
	Names []string `json:"names"` // of the descriptors that come along
	Total int      `json:"total"`
}

// Bequeath makes a link over which a new holder may take over from this worker,
// and returns the new holder's end. It works once the old holder is dead.
func (l *Link) Bequeath(ground Ground, in Inherited) (*os.File, error) {
	select {
	case <-l.Gone:
	default:
		return nil, fmt.Errorf("mounting %s: another secretfs serves it (pid %d); end that one first (secretfs umount --policy FILE)", ground.Mount, ground.Holder)
	}
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("handing over: %w", err)
	}
	estate, err := l.estate(ground, in)
	if err != nil {
		unix.Close(pair[0])
		unix.Close(pair[1])
		return nil, err
	}
	_, gone, err := newPeer(os.NewFile(uintptr(pair[0]), "bequest"), estate.handle)
	if err != nil {
		unix.Close(pair[1])
		return nil, err
	}
	go func() {
		<-gone
		estate.close()
	}()
	return os.NewFile(uintptr(pair[1]), "bequest"), nil
}

// An estate is what a worker leaves to the next holder.
type estate struct {
	state state
	names []string
	files map[string]*os.File
}

func (l *Link) estate(g Ground, in Inherited) (*estate, error) {
	files, backings, lowest := l.escrow.contents()
	listener, err := in.Control.File()
	if err != nil {
		return nil, fmt.Errorf("handing over the control socket: %w", err)
	}
	files[fileControl] = listener
	files[fileDev], files[fileTable], files[fileStore] = duplicate(in.Dev), duplicate(in.Table), duplicate(in.Store)
	e := &estate{files: files, state: state{
		Plan: Plan{Mount: g.Mount, Control: g.Control}, System: g.System, MountID: g.MountID, Agreed: g.Agreed,
		Restarts: g.Restarts, NextID: lowest, Since: g.Since,
	}}
	for id := range backings {
		e.state.Backings = append(e.state.Backings, id)
	}
	for name, f := range files {
		if f != nil {
			e.names = append(e.names, name)
		}
	}
	sort.Strings(e.names)
	return e, nil
}

func (e *estate) handle(m *message) (answer, error) {
	var r bequeathRequest
	if err := m.decode(&r); err != nil {
		return answer{}, err
	}
	if m.Op != opBequeath || r.From < 0 || r.From > len(e.names) {
		return answer{}, fmt.Errorf("answering %q: no such call", m.Op)
	}
	names := e.names[r.From:min(len(e.names), r.From+bequestBatch)]
	var files []*os.File
	for _, name := range names {
		files = append(files, e.files[name])
	}
	copies, err := dupAll(files)
	return answer{body: bequest{State: e.state, Names: names, Total: len(e.names)}, files: copies}, err
}

func (e *estate) close() {
	for _, f := range e.files {
		closeAll([]*os.File{f})
	}
}

// inherit takes over from a worker that serves plan's mount and has lost its
// holder. It returns false where there is none.
func (h *Holder) inherit(plan Plan) bool {
	top, ok, err := topMount(plan.Mount)
	if err != nil || !ok || top.kind != fsType {
		return false
	}
	ctx, cancel := context.WithTimeout(context.Background(), callTimeout)
	defer cancel()
	link, err := (&control.Client{Path: plan.Control}).Inherit(ctx)
	if err != nil {
		return false // whoever answers there has a holder
	}
	pid, err := peerPID(link)
	if err != nil {
		link.Close()
		return false
	}
	c, err := h.attach(pid, link)
	if err != nil {
		return false
	}
	s, files, err := receiveBequest(ctx, c.link)
	if err == nil && (s.Plan.Mount != plan.Mount || s.MountID != top.id || files[fileDev] == nil || files[fileTable] == nil || files[fileControl] == nil) {
		err = errors.New("it serves another mount")
	}
	if err != nil {
		h.cfg.Log.Warn("taking over from a worker that has lost its holder", "pid", pid, "error", err)
		c.link.close()
		for _, f := range files {
			f.Close()
		}
		return false
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.take(s, files)
	h.reclone()
	h.current = c
	h.cfg.Log.Info("taking over from a worker that has lost its holder", "mount", plan.Mount, "pid", pid)
	return true
}

func receiveBequest(ctx context.Context, p *peer) (state, map[string]*os.File, error) {
	files := make(map[string]*os.File)
	for {
		var b bequest
		got, err := p.call(ctx, opBequeath, bequeathRequest{From: len(files)}, &b)
		if err == nil && (len(got) != len(b.Names) || len(got) == 0 && len(files) < b.Total) {
			err = fmt.Errorf("got %d descriptors for %d names", len(got), len(b.Names))
		}
		if err != nil {
			closeAll(got)
			return state{}, files, err
		}
		for i, name := range b.Names {
			files[name] = got[i]
		}
		if len(files) >= b.Total {
			return b.State, files, nil
		}
	}
}

// reclone makes the detached clone anew, which no worker has.
func (h *Holder) reclone() {
	if !h.m.system {
		return
	}
	fd, err := unix.Open(h.m.way(), unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err == nil {
		defer unix.Close(fd)
		h.m.clone, err = writableClone(fd)
	}
	if err != nil {
		h.cfg.Log.Warn("watchers of files will not be told of changes", "error", err)
	}
}

// peerPID is the process that made the socket pair.
func peerPID(f *os.File) (int, error) {
	cred, err := unix.GetsockoptUcred(int(f.Fd()), unix.SOL_SOCKET, unix.SO_PEERCRED)
	if err != nil {
		return 0, fmt.Errorf("asking who is at the other end: %w", err)
	}
	return int(cred.Pid), nil
}
