// Package helpertest starts helpers for the tests of those who ask them.
package helpertest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/secretfs/secretfs/backend"
)

// Exec starts helpers as this process's own user. What a mount does is in
// fs/mount.
type Exec struct {
	// Commands are the command lines by kind, the program first.
	Commands map[string][]string
	// Env is the helpers' environment, that of this process where nil.
	Env []string
}

// Run is a helper.Starter. The helper leads a process group, which is killed when
// the connection is closed.
func (e Exec) Run(_ context.Context, call backend.HelperCall) (net.Conn, error) {
	argv := e.Commands[call.Kind]
	if len(argv) == 0 {
		return nil, errors.New("no command is configured")
	}
	ours, theirs, err := socketPair()
	if err != nil {
		return nil, err
	}
	defer theirs.Close()
	cmd := exec.Command(argv[0], argv[1:]...)
	if cmd.Env = e.Env; cmd.Env == nil {
		cmd.Env = os.Environ()
	}
	cmd.Env = append(cmd.Env[:len(cmd.Env):len(cmd.Env)], call.Env...)
	cmd.ExtraFiles = []*os.File{theirs} // becomes helper.FD
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		ours.Close()
		return nil, err
	}
	return &child{Conn: ours, cmd: cmd}, nil
}

// A child is the connection to a helper and the helper.
type child struct {
	net.Conn
	cmd  *exec.Cmd
	once sync.Once
}

// Close kills the helper's process group and waits for the helper.
func (c *child) Close() error {
	err := c.Conn.Close()
	c.once.Do(func() {
		unix.Kill(-c.cmd.Process.Pid, unix.SIGKILL)
		c.cmd.Wait()
	})
	return err
}

func socketPair() (ours net.Conn, theirs *os.File, err error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("making a socket pair: %w", err)
	}
	f := os.NewFile(uintptr(fds[0]), "helper")
	defer f.Close()
	theirs = os.NewFile(uintptr(fds[1]), "helper")
	if ours, err = net.FileConn(f); err != nil {
		theirs.Close()
		return nil, nil, fmt.Errorf("making a socket pair: %w", err)
	}
	return ours, theirs, nil
}
