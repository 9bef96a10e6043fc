package mount

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/secretfs/secretfs/backend"
)

// At most so many helpers run at a time, whoever opens how many secrets; the
// rest wait for their turn. No backend may take all places: one whose helpers
// hang would delay the others.
const (
	maxHelpers        = 16
	maxBackendHelpers = 4
)

// A HelperConfig says how helpers are started.
type HelperConfig struct {
	// Launcher are the arguments that make this program call Become.
	Launcher []string
	// Kind tells about a kind of helper.
	Kind func(kind string) HelperKind
}

// A HelperKind is what helpers of one kind are and what they may have.
type HelperKind struct {
	// Program is the program that serves it, empty if it is not installed.
	Program string
	Args    []string
	// Inherits says which variables of the holder's environment it gets
	// besides the basic ones, Sets which of them a request may set. Where
	// nil, none.
	Inherits, Sets func(name string) bool
	// Caps are the capabilities that it has under a uid of its own. One that
	// runs as a user has none.
	Caps []int
	// Daemon says that it may leave a daemon behind, which must not be killed
	// for the processor time that it has used over the years.
	Daemon bool
}

// Helpers starts helpers. Its methods are safe for concurrent use.
type Helpers struct {
	cfg  HelperConfig
	free chan int // places, which are numbered

	mu      sync.Mutex
	turns   map[string]chan struct{} // by backend
	running map[*running]bool
}

// NewHelpers makes Helpers, none of which runs.
func NewHelpers(cfg HelperConfig) *Helpers {
	p := &Helpers{cfg: cfg, free: make(chan int, maxHelpers), turns: make(map[string]chan struct{}), running: make(map[*running]bool)}
	for i := range maxHelpers {
		p.free <- i
	}
	return p
}

// Run starts a helper for a program that has no holder. Closing the connection
// ends it. A helper lives no longer than ctx's deadline.
func (p *Helpers) Run(ctx context.Context, call backend.HelperCall) (net.Conn, error) {
	ours, theirs, err := helperSocket()
	if err != nil {
		return nil, fmt.Errorf("starting helper %s: %w", call.Kind, err)
	}
	defer ours.Close()
	defer theirs.Close()
	missing, r, err := p.start(ctx, "", "", call, theirs)
	if err != nil {
		return nil, err
	}
	if missing {
		return nil, fmt.Errorf("starting helper %s: the program that serves it: %w", call.Kind, os.ErrNotExist)
	}
	conn, err := net.FileConn(ours)
	if err != nil {
		r.end()
		return nil, fmt.Errorf("starting helper %s: %w", call.Kind, err)
	}
	return &helperConn{conn, r}, nil
}

type helperConn struct {
	net.Conn
	r *running
}

func (c *helperConn) Close() error {
	err := c.Conn.Close()
	c.r.end()
	return err
}

// start starts a helper on sock as soon as there is a place for it. It leaves
// the mount at dir out of what the helper sees.
func (p *Helpers) start(ctx context.Context, owner, dir string, call backend.HelperCall, sock *os.File) (missing bool, r *running, err error) {
	k := p.cfg.Kind(call.Kind)
	if k.Program == "" {
		return true, nil, nil
	}
	env, err := helperEnv(k, call)
	if err != nil {
		return false, nil, err
	}
	c := Confinement{User: call.User, Caps: k.Caps, Leave: dir}
	if err := c.check(); err != nil {
		return false, nil, fmt.Errorf("starting helper %s: %w", call.Kind, err)
	}
	place, leave, err := p.place(ctx, owner)
	if err != nil {
		return false, nil, fmt.Errorf("starting helper %s: %d run already: %w", call.Kind, maxHelpers-len(p.free), err)
	}
	deadline, ok := ctx.Deadline()
	if !ok {
		deadline = time.Now().Add(maxHelperTime)
	}
	c.UID = ownUIDs + place
	if !k.Daemon {
		c.CPU = cpuSeconds(time.Until(deadline))
	}
	if hungUp(sock.Fd()) {
		leave()
		return false, nil, fmt.Errorf("starting helper %s: nobody waits for it any more", call.Kind)
	}
	pid, err := p.launch(k, c, env, sock)
	if err != nil {
		leave()
		return false, nil, fmt.Errorf("starting helper %s: %w", call.Kind, err)
	}
	return false, p.watch(pid, deadline, leave), nil
}

// place waits for a place and gives its number.
func (p *Helpers) place(ctx context.Context, owner string) (n int, leave func(), err error) {
	p.mu.Lock()
	turn := p.turns[owner]
	if turn == nil {
		turn = make(chan struct{}, maxBackendHelpers)
		p.turns[owner] = turn
	}
	p.mu.Unlock()
	select {
	case turn <- struct{}{}:
	case <-ctx.Done():
		return 0, nil, ctx.Err()
	}
	select {
	case n = <-p.free:
	case <-ctx.Done():
		<-turn
		return 0, nil, ctx.Err()
	}
	return n, func() { p.free <- n; <-turn }, nil
}

// launch starts this program, which makes itself small and becomes the helper.
// Only there can all of it be had: limits and a mount namespace are a process's
// own affair, and a holder has many threads.
func (p *Helpers) launch(k HelperKind, c Confinement, env []string, sock *os.File) (pid int, err error) {
	spec, err := json.Marshal(c)
	if err != nil {
		return 0, err
	}
	cmd := exec.Command("/proc/self/exe", append(append(append([]string(nil), p.cfg.Launcher...), string(spec), k.Program), k.Args...)...)
	cmd.Args[0] = "secretfs"
	cmd.Env, cmd.Dir, cmd.Stderr = env, "/", os.Stderr
	cmd.ExtraFiles = []*os.File{sock} // becomes descriptor 3
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if os.Geteuid() == 0 {
		cmd.SysProcAttr.Cloneflags = unix.CLONE_NEWNS
	}
	if err := cmd.Start(); err != nil {
		return 0, fmt.Errorf("starting %s: %w", filepath.Base(k.Program), err)
	}
	pid = cmd.Process.Pid
	return pid, cmd.Process.Release() // watch waits for it
}

func helperSocket() (ours, theirs *os.File, err error) {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("making a socket pair: %w", err)
	}
	return os.NewFile(uintptr(pair[0]), "helper"), os.NewFile(uintptr(pair[1]), "helper"), nil
}
