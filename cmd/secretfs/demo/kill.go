package demo

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"sync"
	"syscall"
	"time"
)

const (
	readers = 4
	kills   = 5
)

// kill takes the worker away again and again under readers that loop.
func (t *tour) kill(ctx context.Context) error {
	held, err := os.Open(t.path("secrets/db/password"))
	if err != nil {
		return err
	}
	defer held.Close()
	loop := t.startReaders()
	killErr := t.killWorkers(ctx)
	if err := loop.end(t); err != nil {
		return err
	}
	if killErr != nil {
		return killErr
	}
	got, err := io.ReadAll(held)
	if err != nil || string(got) != first {
		return fmt.Errorf("the file that was open all along does not read to its end: %w", err)
	}
	t.say("a file that was opened before the first kill still reads to its end")
	return nil
}

func (t *tour) killWorkers(ctx context.Context) error {
	for range kills {
		pid, err := t.workerPID(ctx)
		if err != nil {
			return err
		}
		fmt.Fprintf(t.out, "   $ kill -KILL %d\n", pid)
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			return fmt.Errorf("killing the worker: %w", err)
		}
		time.Sleep(150 * time.Millisecond)
	}
	now, err := t.workerPID(ctx)
	if err == nil {
		t.say("the worker is process %d now", now)
	}
	return err
}

// workerPID asks the mount; the answer comes from the worker itself.
func (t *tour) workerPID(ctx context.Context) (int, error) {
	out, err := t.quietly(ctx, line{args: []string{t.program, "status", "--json", "--policy", policyName}})
	if err != nil {
		return 0, fmt.Errorf("asking for the status: %w: %s", err, out)
	}
	var status struct {
		WorkerPID int `json:"worker_pid"`
	}
	if err := json.Unmarshal([]byte(out), &status); err != nil {
		return 0, fmt.Errorf("reading the status: %w", err)
	}
	return status.WorkerPID, nil
}

// A loop is readers that open, read and compare until they are told to stop.
type loop struct {
	stop    chan struct{}
	running sync.WaitGroup

	mu      sync.Mutex // guards what follows
	reads   int
	slowest time.Duration
	failed  error
}

func (t *tour) startReaders() *loop {
	l := &loop{stop: make(chan struct{})}
	path := t.path("secrets/db/password")
	for range readers {
		l.running.Go(func() {
			for {
				select {
				case <-l.stop:
					return
				default:
					l.readOnce(path)
				}
			}
		})
	}
	return l
}

func (l *loop) readOnce(path string) {
	began := time.Now()
	got, err := os.ReadFile(path)
	took := time.Since(began)
	if err == nil && !bytes.Equal(got, []byte(first)) {
		err = fmt.Errorf("a torn read of %d bytes", len(got))
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.reads++
	l.slowest = max(l.slowest, took)
	if l.failed == nil {
		l.failed = err
	}
}

// end stops the readers and says how they fared.
func (l *loop) end(t *tour) error {
	close(l.stop)
	l.running.Wait()
	if l.failed != nil {
		return fmt.Errorf("a reader saw the kills: %w", l.failed)
	}
	t.say("meanwhile %d readers read the secret %d times: none failed, the slowest took %d ms",
		readers, l.reads, l.slowest.Milliseconds())
	return nil
}
