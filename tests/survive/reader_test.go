package survive

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// tally is what a reader reports when it is told to end.
type tally struct {
	PID     int
	Reads   map[string]int // name of the secret -> whole reads
	Failed  []string
	Torn    []string
	Slowest time.Duration
}

// runReader reads files in turn, over and over, until its stdin ends:
// `reader FILE...`.
func runReader(files []string) int {
	ended := make(chan struct{})
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		close(ended)
	}()
	t := tally{PID: os.Getpid(), Reads: make(map[string]int)}
	for i := 0; ; i++ {
		select {
		case <-ended:
			_ = json.NewEncoder(os.Stdout).Encode(t)
			return 0
		default:
		}
		file := files[i%len(files)]
		start := time.Now()
		b, err := os.ReadFile(file)
		t.Slowest = max(t.Slowest, time.Since(start))
		switch {
		case err != nil:
			t.Failed = append(t.Failed, err.Error())
		case !whole(b):
			t.Torn = append(t.Torn, fmt.Sprintf("%s: %d bytes", file, len(b)))
		default:
			t.Reads[filepath.Base(file)]++
		}
	}
}

// value is one version of a secret: too long for one page, and alike all the
// way through, so that a mixture of two versions shows.
func value(version int) string {
	return string(bytes.Repeat([]byte(fmt.Sprintf("v%06d;", version)), 2500))
}

func whole(b []byte) bool {
	return len(b) == len(value(0)) && bytes.Equal(b, bytes.Repeat(b[:8], len(b)/8))
}

// A reader is a running runReader.
type reader struct {
	cmd   *exec.Cmd
	stdin io.WriteCloser
	out   bytes.Buffer
}

func startReader(t *testing.T, files ...string) *reader {
	t.Helper()
	r := &reader{cmd: exec.Command("/proc/self/exe", append([]string{"reader"}, files...)...)}
	r.cmd.Stdout, r.cmd.Stderr = &r.out, os.Stderr
	var err error
	if r.stdin, err = r.cmd.StdinPipe(); err == nil {
		err = r.cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func (r *reader) stop(t *testing.T) (n tally) {
	t.Helper()
	r.stdin.Close()
	if err := r.cmd.Wait(); err != nil {
		t.Fatalf("reader: %v", err)
	}
	if err := json.Unmarshal(r.out.Bytes(), &n); err != nil {
		t.Fatalf("reader: %v", err)
	}
	return n
}
