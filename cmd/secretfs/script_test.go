package main

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"strconv"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/secretfs/secretfs/fs/control"
	"github.com/secretfs/secretfs/tests/harness"
)

// tests cleans up after all of them.
type tests struct{ *testing.M }

func (t tests) Run() int { return harness.Main(t.M) }

// The scripts run this test program as `secretfs`.
func TestMain(m *testing.M) {
	testscript.Main(tests{m}, map[string]func(){"secretfs": main})
}

// TestScripts runs what needs no mount.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(env *testscript.Env) error {
			// Short enough for a socket, and nobody's real mount.
			env.Setenv("XDG_RUNTIME_DIR", env.WorkDir)
			env.Setenv("HOME", env.WorkDir)
			env.Setenv("TZ", "UTC")
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits":  exits,
			"serve":  serve,
			"record": record,
		},
	})
}

// exits runs a command and compares its exit code: `exits 2 secretfs mount`.
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE COMMAND...")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		got = -1
		var exit interface{ ExitCode() int }
		if errors.As(err, &exit) {
			got = exit.ExitCode()
		}
	}
	if got != want {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
}

// serve plays the worker on a socket: `serve SOCKET` answers command X with
// what X.json holds then, an error where it has "error", and keeps what was
// asked in X.args.
func serve(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: serve SOCKET")
	}
	l, err := control.Listen(ts.MkAbs(args[0]))
	ts.Check(err)
	s := control.Server{Handlers: map[string]control.Handler{}}
	for _, command := range []string{
		control.CmdStatus, control.CmdList, control.CmdExplain, control.CmdRefresh,
		control.CmdWait, control.CmdReload, control.CmdUpgrade, control.CmdUmount,
	} {
		s.Handlers[command] = scripted(ts.MkAbs(command))
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); _ = s.Serve(ctx, l) }()
	ts.Defer(func() { cancel(); <-done })
}

func scripted(path string) control.Handler {
	return func(ctx context.Context, args json.RawMessage) (any, error) {
		if err := os.WriteFile(path+".args", append(args, '\n'), 0o600); err != nil {
			return nil, err
		}
		answer, err := os.ReadFile(path + ".json")
		if errors.Is(err, fs.ErrNotExist) {
			<-ctx.Done() // this one is not answered
			return nil, ctx.Err()
		}
		if err != nil {
			return nil, err
		}
		var failure struct {
			Error string
			Code  int
		}
		if err := json.Unmarshal(answer, &failure); err == nil && failure.Error != "" {
			return nil, &control.Error{Sentence: failure.Error, Code: failure.Code}
		}
		return json.RawMessage(answer), nil
	}
}
