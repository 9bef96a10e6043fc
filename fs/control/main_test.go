package control_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/secretfs/secretfs/fs/control"
)

// The test program plays the other processes too.
func TestMain(m *testing.M) {
	switch os.Getenv("CONTROL_TEST_ROLE") {
	case "worker":
		os.Exit(workerRole())
	case "client":
		os.Exit(clientRole())
	}
	os.Exit(m.Run())
}

// workerRole serves the inherited listener: status answers with the pid, and
// wait says "started" on stdout and blocks unless it was told to answer.
func workerRole() int {
	l, err := net.FileListener(os.NewFile(3, "listener"))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	s := control.Server{Handlers: map[string]control.Handler{
		control.CmdStatus: func(context.Context, json.RawMessage) (any, error) {
			return control.Status{WorkerPID: os.Getpid()}, nil
		},
		control.CmdWait: func(ctx context.Context, _ json.RawMessage) (any, error) {
			fmt.Println("started")
			if os.Getenv("CONTROL_TEST_ANSWER") == "" {
				<-ctx.Done()
			}
			return os.Getpid(), nil
		},
		control.CmdUpgrade: func(context.Context, json.RawMessage) (any, error) {
			return nil, syscall.Kill(os.Getpid(), syscall.SIGKILL)
		},
	}}
	if err := s.Serve(context.Background(), l.(*net.UnixListener)); err != nil {
		return 1
	}
	return 0
}

// clientRole prints the error of a status call.
func clientRole() int {
	c := control.Client{Path: os.Args[1]}
	if err := c.Call(context.Background(), control.CmdStatus, nil, nil); err != nil {
		fmt.Print(err)
		return 1
	}
	return 0
}

// serve runs a server in this process until the test ends.
func serve(t *testing.T, handlers map[string]control.Handler) *control.Client {
	t.Helper()
	path := filepath.Join(t.TempDir(), "control.sock")
	l, err := control.Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- (&control.Server{Handlers: handlers}).Serve(ctx, l) }()
	t.Cleanup(func() {
		cancel()
		if err := <-served; err != nil {
			t.Errorf("Serve ended with %v", err)
		}
	})
	return &control.Client{Path: path}
}

// worker prepares a worker process on l, which the caller starts.
func worker(t *testing.T, l *net.UnixListener, env ...string) *exec.Cmd {
	t.Helper()
	f, err := l.File()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(append(os.Environ(), "CONTROL_TEST_ROLE=worker"), env...)
	cmd.ExtraFiles = []*os.File{f}
	cmd.Stderr = os.Stderr
	t.Cleanup(func() {
		_ = f.Close()
		if cmd.Process != nil {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
		}
	})
	return cmd
}
