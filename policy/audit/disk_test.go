package audit

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// smallDisk mounts a tmpfs of so many bytes.
func smallDisk(t *testing.T, size int) string {
	t.Helper()
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%d", size)); err != nil {
		t.Fatalf("mounting a tmpfs (this test needs root): %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir
}

func fill(t *testing.T, file string) {
	t.Helper()
	f, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	block := make([]byte, 4096)
	for err == nil {
		_, err = f.Write(block)
	}
	if !errors.Is(err, unix.ENOSPC) {
		t.Fatal(err)
	}
}

// A full disk refuses records, tears no line, and heals without a restart.
func TestFullDisk(t *testing.T) {
	dir := smallDisk(t, 256<<10)
	file, filler := filepath.Join(dir, "audit.jsonl"), filepath.Join(dir, "filler")
	l, said := open(t, Config{File: file, Sync: SyncAlways})
	write(t, l, 5)
	fill(t, filler)
	// The last page has room for a few more, and then for a part of one.
	written, refused := 5, 0
	for refused < 10 {
		switch err := l.Append(read("x")); {
		case err == nil:
			written++
		case errors.Is(err, ErrNotRecorded) && errors.Is(err, unix.ENOSPC):
			refused++
		default:
			t.Fatal(err)
		}
	}
	if written == 5 {
		t.Error("no record went into the last page: the partial write is not tested")
	}
	intact(t, written, file)
	if err := l.Err(); !errors.Is(err, unix.ENOSPC) {
		t.Errorf("Err says %v", err)
	}
	if errs := said.all(); len(errs) != 1 || !strings.Contains(errs[0], "no space left on device") {
		t.Errorf("said %q", errs)
	}

	// A worker that starts now takes up its work all the same.
	second, _ := open(t, Config{File: file})
	if err := second.Append(read("x")); !errors.Is(err, unix.ENOSPC) {
		t.Errorf("second log: %v", err)
	}
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	write(t, l, 5)
	write(t, second, 5)
	intact(t, written+10, file)
	if err := l.Err(); err != nil {
		t.Errorf("Err says %v after it healed", err)
	}
}

// A torn line cannot be set aside on a full disk either.
func TestTornOnAFullDisk(t *testing.T) {
	dir := smallDisk(t, 128<<10)
	file, filler := filepath.Join(dir, "audit.jsonl"), filepath.Join(dir, "filler")
	l, _ := open(t, Config{File: file})
	write(t, l, 2)
	_ = l.Close()
	tear(t, file, `{"time":`)
	fill(t, filler)
	l, said := open(t, Config{File: file})
	if err := l.Append(read("x")); !errors.Is(err, ErrNotRecorded) || !errors.Is(err, unix.ENOSPC) {
		t.Errorf("got %v", err)
	}
	if !said.has("setting aside a torn line") {
		t.Errorf("said %q", said.all())
	}
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	write(t, l, 2)
	intact(t, 4, file)
}

// A file that cannot be opened refuses records and not the start.
func TestFolderAppearsLater(t *testing.T) {
	dir := t.TempDir()
	blocker := filepath.Join(dir, "log")
	if err := os.WriteFile(blocker, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(blocker, "audit.jsonl")
	l, said := open(t, Config{File: file})
	for range 3 {
		if err := l.Append(read("x")); !errors.Is(err, ErrNotRecorded) || !errors.Is(err, unix.ENOTDIR) {
			t.Errorf("got %v", err)
		}
	}
	if errs := said.all(); len(errs) != 1 || !strings.Contains(errs[0], file) {
		t.Errorf("said %q", errs)
	}
	if err := os.Remove(blocker); err != nil {
		t.Fatal(err)
	}
	write(t, l, 2)
	intact(t, 2, file)
}

func TestNotARegularFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "fifo")
	if err := unix.Mkfifo(file, 0o600); err != nil {
		t.Fatal(err)
	}
	l, _ := open(t, Config{File: file})
	if err := l.Append(read("x")); err == nil || !strings.Contains(err.Error(), "not a regular file") {
		t.Errorf("got %v", err)
	}
}

func TestRemovedFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "audit.jsonl")
	l, _ := open(t, Config{File: file})
	write(t, l, 3)
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	write(t, l, 3)
	rep, err := Verify(file)
	if err != nil || rep.Records != 3 || rep.First != 4 || len(rep.Problems) > 0 {
		t.Errorf("%+v %v", rep, err)
	}
	if len(rep.Notes) != 1 || !strings.Contains(rep.Notes[0].What, "begins before") {
		t.Errorf("notes %v", rep.Notes)
	}
}

// fsync(2) on a pipe fails; for the log it is a disk that fails.
func TestFsyncFails(t *testing.T) {
	file := filepath.Join(t.TempDir(), "audit.jsonl")
	l, said := open(t, Config{File: file, Sync: SyncAlways})
	write(t, l, 2)
	_, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	l.mu.Lock()
	good := l.f
	l.f = w
	l.head.Seq = 3
	l.mu.Unlock()
	if err := l.commit(3); !errors.Is(err, unix.EINVAL) {
		t.Errorf("got %v", err)
	}
	if err := l.Err(); !errors.Is(err, unix.EINVAL) {
		t.Errorf("Err says %v", err)
	}
	l.mu.Lock()
	l.f = good
	l.head.Seq = 4
	l.mu.Unlock()
	if err := l.commit(4); err != nil {
		t.Errorf("after it healed: %v", err)
	}
	if err := l.Err(); err != nil {
		t.Errorf("Err says %v after it healed", err)
	}
	// What was under way when it failed is not saved by the next success.
	if err := l.commit(3); !errors.Is(err, unix.EINVAL) {
		t.Errorf("a lost record counts as written: %v", err)
	}
	if err := l.commit(2); err != nil {
		t.Errorf("a record from before counts as lost: %v", err)
	}
	if !said.has("bringing audit log") {
		t.Errorf("said %q", said.all())
	}
}

func TestIntervalReachesTheDisk(t *testing.T) {
	l, _ := open(t, Config{File: filepath.Join(t.TempDir(), "audit.jsonl"), Sync: SyncInterval, Interval: time.Millisecond})
	write(t, l, 3)
	for range 1000 {
		if l.sync.reached() == 3 {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Error("never synced")
}

// Lines of somebody else are covered by the chain, and told apart.
func TestForeignLine(t *testing.T) {
	file := filepath.Join(t.TempDir(), "audit.jsonl")
	l, _ := open(t, Config{File: file})
	write(t, l, 2)
	tear(t, file, "hello from echo\n")
	write(t, l, 2)
	rep, err := Verify(file)
	if err != nil || rep.Records != 4 || len(rep.Problems) != 1 || rep.Problems[0].String() != file+":3: this line is no record" {
		t.Errorf("%+v %v", rep, err)
	}
}

func TestShortened(t *testing.T) {
	file := filepath.Join(t.TempDir(), "audit.jsonl")
	l, said := open(t, Config{File: file})
	write(t, l, 6)
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	lines := bytes.SplitAfter(text, []byte("\n"))
	if err := os.Truncate(file, int64(len(bytes.Join(lines[:4], nil)))); err != nil {
		t.Fatal(err)
	}
	write(t, l, 1)
	if !said.has("was shortened by somebody") {
		t.Errorf("said %q", said.all())
	}
	rep, err := Verify(file)
	if err != nil || len(rep.Problems) != 1 || rep.Problems[0].String() != file+":5: record 7: records 5 to 6 before it missing" {
		t.Errorf("%+v %v", rep, err)
	}
}
