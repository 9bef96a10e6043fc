package control_test

import (
	"bufio"
	"context"
	"errors"
	"net"
	"path/filepath"
	"testing"
	"time"

	"github.com/secretfs/secretfs/fs/control"
)

// guard ends a test that hangs; nothing is measured with it.
func guard(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func listen(t *testing.T) (*net.UnixListener, *control.Client) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "control.sock")
	l, err := control.Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l, &control.Client{Path: path}
}

func TestClientThatWaitsSurvivesItsWorker(t *testing.T) {
	l, client := listen(t)
	first := worker(t, l)
	out, err := first.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := first.Start(); err != nil {
		t.Fatal(err)
	}
	type answer struct {
		pid int
		err error
	}
	answers := make(chan answer, 1)
	ctx := guard(t)
	go func() {
		var a answer
		a.err = client.Call(ctx, control.CmdWait, control.WaitRequest{Paths: []string{"a"}}, &a.pid)
		answers <- a
	}()
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil || line != "started\n" {
		t.Fatalf("the worker said %q, %v", line, err)
	}
	if err := first.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	second := worker(t, l, "CONTROL_TEST_ANSWER=1")
	if err := second.Start(); err != nil {
		t.Fatal(err)
	}
	a := <-answers
	if a.err != nil || a.pid != second.Process.Pid {
		t.Errorf("waiting across a restart gave pid %d, %v; want %d", a.pid, a.err, second.Process.Pid)
	}
}

func TestClientThatConnectsInARestartWaits(t *testing.T) {
	l, client := listen(t)
	pids := make(chan int, 1)
	ctx := guard(t)
	go func() {
		var status control.Status
		if err := client.Call(ctx, control.CmdStatus, nil, &status); err != nil {
			t.Error(err)
		}
		pids <- status.WorkerPID
	}()
	select {
	case <-pids:
		t.Fatal("answered while no worker was there")
	case <-time.After(100 * time.Millisecond):
	}
	only := worker(t, l)
	if err := only.Start(); err != nil {
		t.Fatal(err)
	}
	if pid := <-pids; pid != only.Process.Pid {
		t.Errorf("answered by %d, want %d", pid, only.Process.Pid)
	}
}

func TestUpgradeReturnsWhenAnotherWorkerServes(t *testing.T) {
	l, client := listen(t)
	first := worker(t, l)
	if err := first.Start(); err != nil {
		t.Fatal(err)
	}
	second := worker(t, l)
	started := make(chan struct{})
	go func() {
		defer close(started)
		_ = first.Wait()
		if err := second.Start(); err != nil {
			t.Error(err)
		}
	}()
	err := client.Upgrade(guard(t), "/proc/self/exe")
	_ = first.Process.Kill() // where it did not end by itself
	<-started
	if err != nil {
		t.Fatal(err)
	}
	var status control.Status
	if err := client.Call(guard(t), control.CmdStatus, nil, &status); err != nil {
		t.Fatal(err)
	}
	if status.WorkerPID != second.Process.Pid {
		t.Errorf("served by %d, want %d", status.WorkerPID, second.Process.Pid)
	}
}

func TestCommandThatMustNotBeRepeatedIsNot(t *testing.T) {
	l, client := listen(t)
	only := worker(t, l)
	if err := only.Start(); err != nil {
		t.Fatal(err)
	}
	if err := client.Call(guard(t), control.CmdUpgrade, nil, nil); !errors.Is(err, control.ErrBroken) {
		t.Errorf("got %v, want ErrBroken", err)
	}
}

func TestPatienceEnds(t *testing.T) {
	l, client := listen(t)
	client.Patience = 100 * time.Millisecond
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			_ = conn.Close()
		}
	}()
	if err := client.Call(guard(t), control.CmdStatus, nil, nil); !errors.Is(err, control.ErrBroken) {
		t.Errorf("got %v, want ErrBroken", err)
	}
}
