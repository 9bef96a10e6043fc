package audit

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

// TestMain plays the worker that is killed while it writes: the test binary
// starts itself with AUDIT_TEST_FILE.
func TestMain(m *testing.M) {
	if file := os.Getenv("AUDIT_TEST_FILE"); file != "" {
		appendForEver(file)
	}
	os.Exit(m.Run())
}

func appendForEver(file string) {
	l, err := Open(Config{File: file, OnError: func(err error) { fmt.Fprintln(os.Stderr, err) }})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	var out sync.Mutex
	for {
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				r := read(strings.Repeat("long/", 1500)) // a kill tears writes that cross pages
				if err := l.Append(r); err != nil {
					fmt.Fprintln(os.Stderr, err)
					os.Exit(1)
				}
				out.Lock()
				fmt.Println(r.Seq)
				out.Unlock()
			})
		}
		wg.Wait()
	}
}

// Whatever the worker had recorded before SIGKILL is in the file once, and the
// chain holds.
func TestKilledAgainAndAgain(t *testing.T) {
	file := filepath.Join(t.TempDir(), "audit.jsonl")
	last := uint64(0)
	for range 15 {
		cmd := exec.Command("/proc/self/exe")
		cmd.Env = append(os.Environ(), "AUDIT_TEST_FILE="+file)
		cmd.Stderr = os.Stderr
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		for n := 0; lines.Scan(); n++ {
			var seq uint64
			if _, err := fmt.Sscan(lines.Text(), &seq); err != nil {
				t.Errorf("the worker says %q", lines.Text())
			}
			last = max(last, seq)
			if n == 40 {
				_ = cmd.Process.Kill()
			}
		}
		_ = cmd.Wait()
	}
	rep, err := Verify(file)
	if err != nil || len(rep.Problems) > 0 {
		t.Fatalf("%v %v", rep.Problems, err)
	}
	if rep.Head.Seq < last || last < 15*40 {
		t.Errorf("%d records were confirmed, the file ends at %d", last, rep.Head.Seq)
	}
}

func tear(t *testing.T, file, fragment string) {
	t.Helper()
	f, err := os.OpenFile(file, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteString(fragment); err != nil {
		t.Fatal(err)
	}
}

func TestTornLineIsSetAside(t *testing.T) {
	for name, fragment := range map[string]string{
		"begun":       `{"time":"2026-03-04T05:06:07.0`,
		"no newline":  string(appendLine(nil, new(sample()))),
		"zeros":       strings.Repeat("\x00", 9000), // what a power cut leaves on some filesystems
		"whole pages": strings.Repeat("x", 3<<20),
	} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "audit.jsonl")
			l, _ := open(t, Config{File: file})
			write(t, l, 3)
			_ = l.Close()
			tear(t, file, fragment)

			rep, err := Verify(file)
			if err != nil || len(rep.Problems) > 0 || len(rep.Notes) != 1 || !strings.Contains(rep.Notes[0].What, "unfinished line") {
				t.Errorf("before: %+v %v", rep, err)
			}
			l, said := open(t, Config{File: file})
			write(t, l, 3)
			intact(t, 6, file)
			aside, _ := filepath.Glob(file + ".torn-*")
			if len(aside) != 1 {
				t.Fatalf("set aside: %q", aside)
			}
			if text, err := os.ReadFile(aside[0]); err != nil || string(text) != fragment {
				t.Errorf("%d bytes set aside of %d: %v", len(text), len(fragment), err)
			}
			if want := fmt.Sprintf("ended in a torn line of %d bytes, which is now in %s", len(fragment), aside[0]); !said.has(want) {
				t.Errorf("said %q, want %q", said.all(), want)
			}
		})
	}
}

func TestTornWhileOpen(t *testing.T) {
	file := filepath.Join(t.TempDir(), "audit.jsonl")
	l, said := open(t, Config{File: file})
	write(t, l, 2)
	tear(t, file, `{"time":"20`)
	write(t, l, 2)
	intact(t, 4, file)
	if !said.has("torn line of 11 bytes") {
		t.Errorf("said %q", said.all())
	}
}

// An administrator may forbid all but appending (chattr +a).
func TestAppendOnlyFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "audit.jsonl")
	l, _ := open(t, Config{File: file})
	write(t, l, 2)
	_ = l.Close()
	tear(t, file, `{"time":"2026-03-04`)
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	const appendOnly = 0x20 // FS_APPEND_FL, linux/fs.h
	set := func(flags int) error { return unix.IoctlSetPointerInt(int(f.Fd()), unix.FS_IOC_SETFLAGS, flags) }
	if err := set(appendOnly); err != nil {
		t.Skipf("this filesystem has no append-only files: %v", err)
	}
	defer func() {
		if err := set(0); err != nil {
			t.Error(err)
		}
	}()
	l, said := open(t, Config{File: file})
	write(t, l, 2)
	rep, err := Verify(file)
	if err != nil || rep.Records != 4 || len(rep.Problems) > 0 || len(rep.Notes) != 1 || rep.Notes[0].What != "a torn line" {
		t.Errorf("%+v %v", rep, err)
	}
	if !said.has("torn line of 19 bytes") {
		t.Errorf("said %q", said.all())
	}
}
