package control_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/secretfs/secretfs/fs/control"
)

func TestCallGivesResultOrError(t *testing.T) {
	client := serve(t, map[string]control.Handler{
		control.CmdExplain: func(_ context.Context, args json.RawMessage) (any, error) {
			var req control.ExplainRequest
			if err := json.Unmarshal(args, &req); err != nil {
				return nil, err
			}
			return control.Explanation{Path: req.Path, Allowed: req.PID == 7}, nil
		},
		control.CmdReload: func(context.Context, json.RawMessage) (any, error) {
			return nil, &control.Error{Sentence: "p.yaml:1:1: no such key", Code: 3}
		},
		control.CmdRefresh: func(context.Context, json.RawMessage) (any, error) {
			return nil, errors.New("it did not work")
		},
		control.CmdList: func(ctx context.Context, _ json.RawMessage) (any, error) {
			p, _ := control.PeerOf(ctx)
			if int(p.PID) != os.Getpid() || int(p.UID) != os.Getuid() {
				t.Errorf("the peer is %+v", p)
			}
			return nil, nil
		},
	})
	ctx := guard(t)
	var got control.Explanation
	if err := client.Call(ctx, control.CmdExplain, control.ExplainRequest{Path: "a", PID: 7}, &got); err != nil {
		t.Fatal(err)
	}
	if !got.Allowed || got.Path != "a" {
		t.Errorf("got %+v", got)
	}
	if err := client.Call(ctx, control.CmdList, nil, nil); err != nil {
		t.Error(err)
	}
	for command, want := range map[string]control.Error{
		control.CmdReload:  {Sentence: "p.yaml:1:1: no such key", Code: 3},
		control.CmdRefresh: {Sentence: "it did not work", Code: 1},
		"nonsense":         {Sentence: `no such command: "nonsense"`, Code: 1},
	} {
		err := client.Call(ctx, command, nil, nil)
		if e, ok := errors.AsType[*control.Error](err); !ok || *e != want {
			t.Errorf("%s: got %v, want %v", command, err, want)
		}
	}
}

func TestHandlerEndsWhenTheClientGoes(t *testing.T) {
	entered, ended := make(chan struct{}), make(chan struct{})
	client := serve(t, map[string]control.Handler{
		control.CmdWait: func(ctx context.Context, _ json.RawMessage) (any, error) {
			close(entered)
			<-ctx.Done()
			close(ended)
			return nil, ctx.Err()
		},
	})
	ctx, cancel := context.WithCancel(guard(t))
	go func() { <-entered; cancel() }()
	if err := client.Call(ctx, control.CmdWait, nil, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want context.Canceled", err)
	}
	select {
	case <-ended:
	case <-time.After(20 * time.Second):
		t.Fatal("the handler goes on without its client")
	}
}

func TestServerEndsItsHandlers(t *testing.T) {
	l, client := listen(t)
	entered := make(chan struct{})
	s := control.Server{Handlers: map[string]control.Handler{
		control.CmdUmount: func(ctx context.Context, _ json.RawMessage) (any, error) {
			close(entered)
			<-ctx.Done()
			return nil, errors.New("stopping")
		},
	}}
	ctx, cancel := context.WithCancel(guard(t))
	served := make(chan error, 1)
	go func() { served <- s.Serve(ctx, l) }()
	go func() { <-entered; cancel() }()
	if err := client.Call(guard(t), control.CmdUmount, nil, nil); err == nil || err.Error() != "stopping" {
		t.Errorf("got %v", err)
	}
	if err := <-served; err != nil {
		t.Errorf("Serve ended with %v", err)
	}
}

// raw sends bytes and returns the line that answers them.
func raw(t *testing.T, path, send string) string {
	t.Helper()
	conn, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	go func() { _, _ = conn.Write([]byte(send)) }()
	line, err := bufio.NewReader(conn).ReadString('\n')
	if err != nil {
		t.Fatalf("no answer to %.20q: %v", send, err)
	}
	return line
}

func TestWire(t *testing.T) {
	client := serve(t, map[string]control.Handler{
		control.CmdStatus: func(context.Context, json.RawMessage) (any, error) { return map[string]int{"a": 1}, nil },
	})
	for _, c := range []struct{ send, want string }{
		{`{"command": "status", "args": {}}` + "\n", `{"ok":true,"result":{"a":1}}` + "\n"},
		{`{"command": "status"}` + "\n", `{"ok":true,"result":{"a":1}}` + "\n"},
		{"not json\n", `"code":1`},
		{"\n", `"ok":false`},
		{strings.Repeat("x", 2<<20), "the line is too long"},
	} {
		if got := raw(t, client.Path, c.send); !strings.Contains(got, c.want) {
			t.Errorf("%.40q gave %q, want %q", c.send, got, c.want)
		}
	}
}
