package program

import (
	"context"
	"errors"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/secretfs/secretfs/backend"
	"github.com/secretfs/secretfs/backend/helper/helpertest"
	"github.com/secretfs/secretfs/backend/secret"
)

// The test binary is the helper too.
func TestMain(m *testing.M) { helpertest.Main(m, Solve) }

func run(t *testing.T, ctx context.Context, c Command) (string, error) {
	t.Helper()
	start := helpertest.Exec{Commands: map[string][]string{Kind: {"/proc/self/exe", helpertest.Role}}}
	v, err := Run(ctx, start.Run, c)
	defer v.Destroy()
	return string(v.Bytes()), err
}

// tool is a directory with a program of that name in it.
func tool(t *testing.T, script string) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(dir+"/tool", []byte("#!/bin/sh\n"+script+"\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	return dir
}

func sh(script string) []string { return []string{"sh", "-c", script} }

func TestRun(t *testing.T) {
	input, err := secret.From([]byte("typed"))
	if err != nil {
		t.Fatal(err)
	}
	defer input.Destroy()
	for _, c := range []struct {
		name string
		Command
		want string
	}{
		{"printed", Command{Argv: []string{"printf", "%s\n", "a  b"}}, "a  b\n"},
		{"no shell", Command{Argv: []string{"echo", "$HOME", ";", "id"}}, "$HOME ; id\n"},
		{"nothing", Command{Argv: []string{"true"}}, ""},
		{"no input", Command{Argv: []string{"cat"}}, ""},
		{"input", Command{Argv: []string{"cat"}, Input: input}, "typed"},
		{"env and dir", Command{Argv: sh("echo $X; pwd"), Env: []string{"X=y"}, Dir: "/usr"}, "y\n/usr\n"},
		{"what it says does not matter", Command{Argv: sh("echo warning >&2; echo out")}, "out\n"},
		{"as long as may be", Command{Argv: sh("head -c 20000 /dev/zero | tr '\\0' x")}, strings.Repeat("x", 20000)},
		{"PATH", Command{Argv: []string{"tool"}, Env: []string{"PATH=" + tool(t, "echo from PATH")}}, "from PATH\n"},
		{"a daemon left behind", Command{Argv: sh("sleep 60 & echo out")}, "out\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.Max = 20000
			if got, err := run(t, t.Context(), c.Command); err != nil || got != c.want {
				t.Errorf("got %.80q, %v, want %.80q", got, err, c.want)
			}
		})
	}
}

func TestRunFails(t *testing.T) {
	uid := strconv.Itoa(os.Getuid())
	for _, c := range []struct {
		name string
		Command
		kind error
		want string
	}{
		{"no such program", Command{Argv: []string{"no-such-program"}}, backend.ErrUnavailable, "running no-such-program: there is no such program in PATH, which is /"},
		{"no such program at a place", Command{Argv: []string{"/no/such"}}, backend.ErrUnavailable, "running /no/such: there is no such program"},
		{"a status without a meaning", Command{Argv: sh("exit 66")}, backend.ErrUnavailable, "exit status 66"},
		{"missing", Command{Argv: sh("exit 66"), Sysexits: true}, backend.ErrNotFound, "exit status 66"},
		{"damaged", Command{Argv: sh("exit 65"), Sysexits: true}, backend.ErrCorrupt, "exit status 65"},
		{"refused", Command{Argv: sh("exit 77"), Sysexits: true}, backend.ErrRejected, "exit status 77"},
		{"the last words", Command{Argv: sh("for i in $(seq 3000); do echo line $i; done >&2; exit 1")}, backend.ErrUnavailable, "line 2999; line 3000"},
		{"says its output in base64", Command{Argv: sh("echo hunter2-hunter2; echo got x$(printf hunter2-hunter2 | base64) >&2; exit 1")}, backend.ErrUnavailable, "shows a part of a secret"},
		{"says its output in hex", Command{Argv: sh("echo hunter2-hunter2; printf hunter2-hunter2 | od -An -tx1 | tr -d ' ' >&2; exit 1")}, backend.ErrUnavailable, "shows a part of a secret"},
		{"says a token", Command{Argv: sh("echo Authorization: Bearer Zm9vYmFy0123456789abcdef, key A1B2C3D4E5F60718 >&2; exit 1")}, backend.ErrUnavailable, "exit status 1: Authorization: Bearer …, key A1B2C3D4E5F60718"},
		{"no such directory", Command{Argv: []string{"true"}, Dir: "/no/such"}, backend.ErrUnavailable, "running true as uid " + uid + ": cannot start it in /no/such: no such file or directory"},
		{"fails", Command{Argv: sh("echo not found >&2; exit 3")}, backend.ErrUnavailable, "running sh as uid " + uid + ": exit status 3: not found"},
		{"killed", Command{Argv: sh("kill -9 $$")}, backend.ErrUnavailable, "signal: killed"},
		{"says its output", Command{Argv: sh("echo hunter2-hunter2; echo bad: hunter2-h >&2; exit 1")}, backend.ErrUnavailable, "exit status 1: (what it said shows a part of a secret)"},
		{"too long", Command{Argv: []string{"yes"}}, backend.ErrUnsupported, "running yes: it prints more than 20000 bytes"},
		{"a little too long", Command{Argv: sh("head -c 20001 /dev/zero")}, backend.ErrUnsupported, "it prints more than 20000 bytes"},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.Max = 20000
			_, err := run(t, t.Context(), c.Command)
			if !errors.Is(err, c.kind) || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "hunter2") {
				t.Errorf("got %v, want %v with %q in it", err, c.kind, c.want)
			}
		})
	}
}

// The deadline ends a program and what it has started.
func TestDeadline(t *testing.T) {
	pids := t.TempDir() + "/pids"
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	began := time.Now()
	_, err := run(t, ctx, Command{Argv: sh("sleep 60 & echo $! $$ >" + pids + "; wait"), Max: 100})
	if !errors.Is(err, backend.ErrTimeout) || time.Since(began) > 10*time.Second {
		t.Errorf("got %v after %v", err, time.Since(began))
	}
	b, err := os.ReadFile(pids)
	if err != nil {
		t.Fatal(err)
	}
	for _, field := range strings.Fields(string(b)) {
		pid, _ := strconv.Atoi(field)
		gone := func() bool {
			stat, _ := os.ReadFile("/proc/" + field + "/stat")
			return errors.Is(unix.Kill(pid, 0), unix.ESRCH) || strings.Contains(string(stat), ") Z ")
		}
		for end := time.Now().Add(5 * time.Second); !gone(); time.Sleep(10 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("process %d lives", pid)
			}
		}
	}
}

func TestShows(t *testing.T) {
	for _, c := range []struct {
		text, secret string
		want         bool
	}{
		{"wrong password", "hunter2", false},
		{"wrong: hunter2", "hunter2\n", true},
		{"wrong: correct horse!", "correct horse battery", true},
		{"a horse is wrong", "correct horse battery", false},
		{"anything", "", false},
		{"anything", "\n", false},
	} {
		if got := shows([]byte(c.text), []byte(c.secret)); got != c.want {
			t.Errorf("%q in %q: %v", c.secret, c.text, got)
		}
	}
}
