package audit

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// notes collects what a Log says.
type notes struct {
	mu   sync.Mutex
	errs []string
}

func (n *notes) add(err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.errs = append(n.errs, err.Error())
}

func (n *notes) all() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.errs)
}

// has says whether one of the notes has the text.
func (n *notes) has(text string) bool {
	return slices.ContainsFunc(n.all(), func(s string) bool { return strings.Contains(s, text) })
}

func open(t testing.TB, cfg Config) (*Log, *notes) {
	t.Helper()
	said := &notes{}
	cfg.OnError = said.add
	l, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	return l, said
}

func read(path string) *Record { return &Record{Outcome: Allowed, Path: path, Backend: "main"} }

// write appends n records.
func write(t testing.TB, l *Log, n int) {
	t.Helper()
	for i := range n {
		if err := l.Append(read(fmt.Sprint("secret/", i))); err != nil {
			t.Fatal(err)
		}
	}
}

// intact wants an unbroken chain of n records over files.
func intact(t testing.TB, n int, files ...string) Report {
	t.Helper()
	rep, err := Verify(files...)
	if err != nil {
		t.Fatal(err)
	}
	if rep.Records != uint64(n) || len(rep.Problems) > 0 || len(rep.Notes) > 0 {
		t.Errorf("%d records of %d, problems %v, notes %v", rep.Records, n, rep.Problems, rep.Notes)
	}
	return rep
}

func silent(t *testing.T, said *notes) {
	t.Helper()
	if errs := said.all(); len(errs) > 0 {
		t.Errorf("said %q", errs)
	}
}

func TestChainGoesOnOverRestarts(t *testing.T) {
	file := filepath.Join(t.TempDir(), "new", "folder", "audit.jsonl")
	for i := range 4 {
		l, said := open(t, Config{File: file})
		r := read("x")
		if err := l.Append(r); err != nil {
			t.Fatal(err)
		}
		if r.Seq != uint64(10*i+1) || (r.Prev == "") != (i == 0) || r.Time.IsZero() {
			t.Errorf("record after restart %d: %+v", i, r)
		}
		write(t, l, 9)
		if err := l.Close(); err != nil {
			t.Error(err)
		}
		silent(t, said)
		if err := l.Append(read("x")); !errors.Is(err, ErrNotRecorded) {
			t.Errorf("a closed log takes records: %v", err)
		}
	}
	intact(t, 40, file)
	for path, want := range map[string]os.FileMode{file: 0o600, filepath.Dir(file): 0o700 | os.ModeDir} {
		if info, err := os.Stat(path); err != nil || info.Mode() != want {
			t.Errorf("%s: mode %v, %v", path, info.Mode(), err)
		}
	}
}

func TestHeadIsThatOfTheFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "audit.jsonl")
	l, _ := open(t, Config{File: file})
	if l.Head() != (Head{}) {
		t.Errorf("a new chain has head %+v", l.Head())
	}
	write(t, l, 3)
	if rep := intact(t, 3, file); rep.Head != l.Head() {
		t.Errorf("log says %+v, file %+v", l.Head(), rep.Head)
	}
}

func TestConcurrentAppends(t *testing.T) {
	for _, mode := range []string{SyncNone, SyncInterval, SyncAlways} {
		t.Run(mode, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "audit.jsonl")
			l, said := open(t, Config{File: file, Sync: mode, Interval: time.Millisecond})
			var wg sync.WaitGroup
			for range 8 {
				wg.Go(func() { write(t, l, 25) })
			}
			wg.Wait()
			intact(t, 200, file)
			silent(t, said)
		})
	}
}

// Every record is in the file when Append returns.
func TestWrittenBeforeAppendReturns(t *testing.T) {
	file := filepath.Join(t.TempDir(), "audit.jsonl")
	l, _ := open(t, Config{File: file})
	for i := range 20 {
		write(t, l, 1)
		text, err := os.ReadFile(file)
		if err != nil || bytes.Count(text, []byte("\n")) != i+1 || !bytes.HasSuffix(text, []byte("}\n")) {
			t.Fatalf("after %d records: %q %v", i+1, text, err)
		}
	}
}

// While a worker replaces another there are two logs on one file.
func TestTwoWritersInTurns(t *testing.T) {
	file := filepath.Join(t.TempDir(), "audit.jsonl")
	a, saidA := open(t, Config{File: file})
	b, saidB := open(t, Config{File: file})
	for range 5 {
		write(t, a, 2)
		write(t, b, 3)
	}
	intact(t, 25, file)
	silent(t, saidA)
	silent(t, saidB)
}

func TestWrongConfig(t *testing.T) {
	for want, cfg := range map[string]Config{
		"no file given":                            {},
		`sync "often" is not none, interval or`:    {File: "x", Sync: "often"},
		"x: interval 0s is not positive":           {File: "x", Sync: SyncInterval},
		"opening audit log x: interval -1s is not": {File: "x", Sync: SyncInterval, Interval: -time.Second},
	} {
		if _, err := Open(cfg); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}

// A log of 100 MB opens by its end; see BenchmarkOpen for how fast.
func TestLongLog(t *testing.T) {
	file := filepath.Join(t.TempDir(), "audit.jsonl")
	longLog(t, file)
	l, said := open(t, Config{File: file})
	head := l.Head()
	write(t, l, 1)
	if l.Head().Seq != head.Seq+1 || head.Seq != 42 {
		t.Errorf("went on after %d with %d", head.Seq, l.Head().Seq)
	}
	silent(t, said)
}

// longLog is 100 MB of hole and a record.
func longLog(t testing.TB, file string) {
	line := appendLine([]byte("\n"), new(sample()))
	f, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt(append(line, '\n'), 100<<20); err != nil {
		t.Fatal(err)
	}
}

func BenchmarkOpen(b *testing.B) {
	file := filepath.Join(b.TempDir(), "audit.jsonl")
	longLog(b, file)
	for b.Loop() {
		l, err := Open(Config{File: file})
		if err != nil {
			b.Fatal(err)
		}
		if err := l.Close(); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkAppend(b *testing.B) {
	for _, mode := range []string{SyncNone, SyncAlways} {
		b.Run(mode, func(b *testing.B) {
			l, _ := open(b, Config{File: filepath.Join(b.TempDir(), "audit.jsonl"), Sync: mode})
			r := sample()
			b.ReportAllocs()
			for b.Loop() {
				if err := l.Append(&r); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
