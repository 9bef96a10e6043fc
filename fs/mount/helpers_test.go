package mount

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/secretfs/secretfs/backend"
)

// TestMain lets the test binary be the launcher of helpers.
func TestMain(m *testing.M) {
	if len(os.Args) > 3 && os.Args[1] == "become" {
		fmt.Fprintln(os.Stderr, Become(os.Args[2], os.Args[3:]))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// shell are helpers that run a script with the socket as descriptor 3.
func shell(script string) *Helpers {
	return NewHelpers(HelperConfig{Launcher: []string{"become"}, Kind: func(kind string) HelperKind {
		if kind != "shell" {
			return HelperKind{}
		}
		return HelperKind{
			Program: "/bin/sh", Args: []string{"-c", script},
			Inherits: func(name string) bool { return name == "INHERITED" },
			Sets:     func(name string) bool { return name == "SET" },
		}
	}})
}

func run(t *testing.T, p *Helpers, d time.Duration, call backend.HelperCall) net.Conn {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	conn, err := p.Run(ctx, call)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

// runs is false for a zombie: who reaps it, is not ours to say.
func runs(pid string) bool {
	cmdline, _ := os.ReadFile("/proc/" + pid + "/cmdline")
	return len(cmdline) > 0
}

// TestHelperGroup ends a helper at its deadline, by hanging up, and when it
// ends by itself: its process group goes every time.
func TestHelperGroup(t *testing.T) {
	for name, c := range map[string]struct {
		end  string // of the script
		time time.Duration
		stop func(net.Conn)
	}{
		"deadline": {"wait", time.Second, func(net.Conn) {}},
		"hang up":  {"wait", time.Minute, func(conn net.Conn) { conn.Close() }},
		"end":      {"exit", time.Minute, func(net.Conn) {}},
	} {
		t.Run(name, func(t *testing.T) {
			conn := run(t, shell("sleep 3600 & echo $$ $! >&3; "+c.end), c.time, backend.HelperCall{Kind: "shell"})
			var self, child string
			if _, err := fmt.Fscanln(conn, &self, &child); err != nil {
				t.Fatal(err)
			}
			c.stop(conn)
			for end := time.Now().Add(20 * time.Second); runs(self) || runs(child); time.Sleep(10 * time.Millisecond) {
				if time.Now().After(end) {
					t.Fatalf("helper %s: %v, its child %s: %v", self, runs(self), child, runs(child))
				}
			}
		})
	}
}

func TestHelperEnv(t *testing.T) {
	t.Setenv("INHERITED", "yes")
	t.Setenv("SET", "by the holder")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "no")
	said, err := io.ReadAll(run(t, shell("exec env >&3"), time.Minute, backend.HelperCall{Kind: "shell", Env: []string{"SET=by the request"}}))
	if err != nil || !strings.Contains(string(said), "INHERITED=yes\n") || !strings.Contains(string(said), "SET=by the request\n") ||
		strings.Contains(string(said), "holder") || strings.Contains(string(said), "AWS") {
		t.Errorf("%v\n%s", err, said)
	}
	for entry, want := range map[string]string{
		"LD_PRELOAD=/x": `no request may set the variable "LD_PRELOAD"`, "SET": `"SET"`, "SET=\x00": `"SET"`,
	} {
		if _, err := shell("").Run(t.Context(), backend.HelperCall{Kind: "shell", Env: []string{entry}}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", entry, err)
		}
	}
}

func TestHelperUser(t *testing.T) {
	if os.Geteuid() != 0 {
		_, err := shell("").Run(t.Context(), backend.HelperCall{Kind: "shell", User: "0"})
		if err == nil || !strings.Contains(err.Error(), "takes a system mount") {
			t.Errorf("another user: %v", err)
		}
		return
	}
	uid := func(user string) int {
		said, _ := io.ReadAll(run(t, shell("id -u >&3"), time.Minute, backend.HelperCall{Kind: "shell", User: user}))
		n, err := strconv.Atoi(strings.TrimSpace(string(said)))
		if err != nil {
			t.Errorf("user %q: %q", user, said)
		}
		return n
	}
	if n := uid("0"); n != 0 {
		t.Errorf("root is %d", n)
	}
	if n := uid("1234567"); n != 1234567 {
		t.Errorf("1234567 is %d", n)
	}
	if n := uid(""); n < ownUIDs && n != nobody {
		t.Errorf("nobody in particular is %d", n)
	}
	if _, err := shell("").Run(t.Context(), backend.HelperCall{Kind: "shell", User: "a:b"}); err == nil {
		t.Error("a:b is a user")
	}
	if _, err := shell("").Run(t.Context(), backend.HelperCall{Kind: "other"}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("another kind: %v", err)
	}
}

// TestHelperTurns: one backend gets a part of the places, and whoever waits in
// vain learns it at the deadline.
func TestHelperTurns(t *testing.T) {
	p := shell("read x <&3")
	for range maxBackendHelpers {
		run(t, p, time.Minute, backend.HelperCall{Kind: "shell"})
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, err := p.Run(ctx, backend.HelperCall{Kind: "shell"}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("one too many: %v", err)
	}
	ours, theirs, err := helperSocket()
	if err != nil {
		t.Fatal(err)
	}
	defer theirs.Close()
	_, r, err := p.start(t.Context(), "another backend", "", backend.HelperCall{Kind: "shell"}, theirs)
	if err != nil {
		t.Fatalf("for another backend: %v", err)
	}
	r.end()
	ours.Close() // nobody waits
	if _, _, err := p.start(t.Context(), "another backend", "", backend.HelperCall{Kind: "shell"}, theirs); err == nil {
		t.Error("a helper was started for nobody")
	}
	if n := len(p.free); n != maxHelpers-maxBackendHelpers {
		t.Errorf("%d places are free, want %d", n, maxHelpers-maxBackendHelpers)
	}
}

func TestLookAccount(t *testing.T) {
	dir := t.TempDir()
	passwd, group := dir+"/passwd", dir+"/group"
	err := errors.Join(
		os.WriteFile(passwd, []byte("broken\nroot:x:0:0::/root:/bin/sh\nann:x:1000:100:Ann,,:/home/ann:/bin/sh\n"), 0o600),
		os.WriteFile(group, []byte("users:x:100:\ntss:x:59:bob,ann\nwheel:x:1:bob\nhannover:x:2:hann\n"), 0o600),
	)
	if err != nil {
		t.Fatal(err)
	}
	for user, want := range map[string]string{
		"ann":  "{1000 100 [59] ann /home/ann}",
		"1000": "{1000 100 [59] ann /home/ann}",
		"77":   "{77 77 []  /}",
		"0":    "{0 0 [] root /root}",
	} {
		if a, err := lookAccount(user, passwd, group); err != nil || fmt.Sprint(a) != want {
			t.Errorf("%s: got %v, %v, want %s", user, a, err, want)
		}
	}
	for _, user := range []string{"bob", "x", "-1", "4294967296"} {
		if a, err := lookAccount(user, passwd, group); err == nil {
			t.Errorf("%s is %v", user, a)
		}
	}
	if _, err := lookAccount("7", dir+"/none", dir+"/none"); err != nil {
		t.Error(err)
	}
}
