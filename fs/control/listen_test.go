package control_test

import (
	"errors"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/secretfs/secretfs/fs/control"
)

func TestListenMakesAPrivateSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "run", "control.sock")
	l, err := control.Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for name, want := range map[string]fs.FileMode{
		path:               fs.ModeSocket | 0o600,
		filepath.Dir(path): fs.ModeDir | 0o700,
	} {
		if fi, err := os.Lstat(name); err != nil || fi.Mode() != want {
			t.Errorf("%s is %v, %v; want %v", name, fi.Mode(), err, want)
		}
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Lstat(path); err != nil {
		t.Errorf("closing a listener took the name away: %v", err)
	}
	for range 2 { // the second time there is nothing left
		if err := control.Remove(path); err != nil {
			t.Error(err)
		}
	}
}

func TestListenReplacesOnlyAStaleSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "control.sock")
	first, err := control.Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	_, err = control.Listen(path)
	if err == nil || !strings.Contains(err.Error(), "another secretfs answers at "+path) {
		t.Errorf("over a live socket: %v", err)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	second, err := control.Listen(path)
	if err != nil {
		t.Fatalf("over a stale socket: %v", err)
	}
	_ = second.Close()

	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := control.Listen(file); err == nil || !strings.Contains(err.Error(), "is not a socket") {
		t.Errorf("over a file: %v", err)
	}
	if b, err := os.ReadFile(file); err != nil || string(b) != "mine" {
		t.Errorf("the file is gone: %q, %v", b, err)
	}
}

func TestOneOfManyListens(t *testing.T) {
	path := filepath.Join(t.TempDir(), "control.sock")
	stale, err := control.Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	_ = stale.Close()
	var wg sync.WaitGroup
	listeners := make([]*net.UnixListener, 16)
	for i := range listeners {
		wg.Go(func() { listeners[i], _ = control.Listen(path) })
	}
	wg.Wait()
	n := 0
	for _, l := range listeners {
		if l != nil {
			n++
			_ = l.Close()
		}
	}
	if n != 1 {
		t.Errorf("%d daemons listen at one path", n)
	}
}

func TestNoDaemon(t *testing.T) {
	l, client := listen(t)
	_ = l.Close()
	missing := &control.Client{Path: filepath.Join(t.TempDir(), "none.sock")}
	for name, c := range map[string]*control.Client{"refused": client, "missing": missing} {
		err := c.Call(guard(t), control.CmdStatus, nil, nil)
		if !errors.Is(err, control.ErrNoDaemon) || !strings.Contains(err.Error(), c.Path) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestAnotherUserIsRefused(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root to become another user")
	}
	// The test program itself may lie where the other user cannot go.
	dir, err := os.MkdirTemp("/tmp", "control")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(dir, "client")
	if out, err := exec.Command("cp", os.Args[0], program).CombinedOutput(); err != nil {
		t.Fatalf("cp: %v: %s", err, out)
	}
	client := serve(t, nil)
	path := filepath.Join(dir, "control.sock")
	if err := os.Rename(client.Path, path); err != nil {
		t.Fatal(err)
	}

	call := func() string {
		cmd := exec.Command(program, path)
		cmd.Env = []string{"CONTROL_TEST_ROLE=client"}
		cmd.Dir = dir
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 4242, Gid: 4242}}
		out, err := cmd.Output()
		if exit, ok := errors.AsType[*exec.ExitError](err); !ok || exit.ExitCode() != 1 {
			t.Errorf("the client ended with %v", err)
		}
		return string(out)
	}
	if got := call(); !strings.Contains(got, "permission denied") {
		t.Errorf("by the socket's mode: %q", got)
	}
	if err := os.Chmod(path, 0o666); err != nil {
		t.Fatal(err)
	}
	if got := call(); got != "user 4242 may not control this mount, only root and user 0 may" {
		t.Errorf("by its credentials: %q", got)
	}
}
