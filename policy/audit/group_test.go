package audit

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// together has n records wait for one write, and returns what became of each.
func together(t *testing.T, l *Log, n int) []error {
	t.Helper()
	errs := make([]error, n)
	var appends sync.WaitGroup
	l.mu.Lock()
	for i := range n {
		appends.Go(func() { errs[i] = l.Append(read(fmt.Sprint("secret/", i))) })
	}
	for l.group.waits() < n {
		time.Sleep(time.Millisecond)
	}
	l.mu.Unlock()
	appends.Wait()
	return errs
}

func (g *group) waits() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.waiting)
}

// writes counts the write(2)s of this process (proc_pid_io(5)).
func writes(t *testing.T) (n int) {
	t.Helper()
	data, err := os.ReadFile("/proc/self/io")
	if err != nil {
		t.Fatal(err)
	}
	_, counted, _ := strings.Cut(string(data), "syscw: ")
	if _, err := fmt.Sscan(counted, &n); err != nil {
		t.Fatal(err)
	}
	return n
}

func TestShareOneWrite(t *testing.T) {
	file := filepath.Join(t.TempDir(), "audit.jsonl")
	l, _ := open(t, Config{File: file})
	before := writes(t)
	for i, err := range together(t, l, groupMost) {
		if err != nil {
			t.Errorf("record %d: %v", i, err)
		}
	}
	// The Go runtime wakes itself with a few of its own.
	if n := writes(t) - before; n >= groupMost/2 {
		t.Errorf("%d records took %d writes", groupMost, n)
	}
	intact(t, groupMost, file)
}

func TestMoreThanOneGroup(t *testing.T) {
	file := filepath.Join(t.TempDir(), "audit.jsonl")
	l, _ := open(t, Config{File: file, Sync: SyncAlways})
	for i, err := range together(t, l, 3*groupMost+1) {
		if err != nil {
			t.Errorf("record %d: %v", i, err)
		}
	}
	intact(t, 3*groupMost+1, file)
}

// Of a group that does not fit, as many records are written as do.
func TestGroupOnAFullDisk(t *testing.T) {
	dir := smallDisk(t, 64<<10)
	file := filepath.Join(dir, "audit.jsonl")
	l, _ := open(t, Config{File: file})
	write(t, l, 1)
	fill(t, filepath.Join(dir, "filler"))
	refused := 0
	for _, err := range together(t, l, groupMost) {
		switch {
		case errors.Is(err, ErrNotRecorded) && errors.Is(err, unix.ENOSPC):
			refused++
		case err != nil:
			t.Error(err)
		}
	}
	if refused == 0 || refused == groupMost {
		t.Errorf("%d of %d records refused: the last page has room for some", refused, groupMost)
	}
	intact(t, 1+groupMost-refused, file)
}
