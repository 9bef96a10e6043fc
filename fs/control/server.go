package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"
)

// A Handler answers one command. Its ctx ends when the client goes away or the
// server stops. What it returns is encoded as JSON; an *Error chooses the exit
// code of the command.
type Handler func(ctx context.Context, args json.RawMessage) (any, error)

// peerKey is how a handler's context holds the client's credentials.
type peerKey struct{}

// A Server answers commands. Its fields are not changed once Serve is called.
type Server struct {
	Handlers map[string]Handler // command -> who answers it
}

// Serve answers every connection to l until ctx ends, then waits for the
// handlers that still run. It closes l, which leaves the socket of the holder
// open. It returns nil when ctx has ended.
func (s *Server) Serve(ctx context.Context, l *net.UnixListener) error {
	ctx, cancel := context.WithCancel(ctx)
	var running sync.WaitGroup
	defer running.Wait()
	defer cancel()
	stop := context.AfterFunc(ctx, func() { _ = l.Close() })
	defer stop()

	for {
		conn, err := l.AcceptUnix()
		if ctx.Err() != nil {
			if conn != nil {
				_ = conn.Close()
			}
			return nil
		}
		if isTransient(err) {
			time.Sleep(50 * time.Millisecond) // as net/http: descriptors come back
			continue
		}
		if err != nil {
			return fmt.Errorf("accepting on the control socket: %w", err)
		}
		running.Go(func() { s.serve(ctx, conn) })
	}
}

// serve answers the one request of a connection.
func (s *Server) serve(ctx context.Context, conn *net.UnixConn) {
	defer conn.Close()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(ctx, func() { _ = conn.CloseRead() })() // ends a read under way

	peer, err := peerOf(conn)
	if err == nil {
		err = peer.authorize()
	}
	if err != nil {
		answer(conn, nil, err)
		return
	}
	_ = conn.SetReadDeadline(time.Now().Add(requestTimeout))
	var req request
	r := &fileReader{conn: conn}
	defer r.close()
	if err := readLine(r, maxRequest, &req); err != nil {
		answer(conn, nil, fmt.Errorf("reading the request: %w", err))
		return
	}
	handler, ok := s.Handlers[req.Command]
	if !ok {
		answer(conn, nil, fmt.Errorf("no such command: %q", req.Command))
		return
	}
	_ = conn.SetReadDeadline(time.Time{})
	go watch(conn, cancel)
	ctx = context.WithValue(context.WithValue(ctx, peerKey{}, peer), pipeKey{}, r.file)
	result, err := handler(ctx, req.Args)
	answer(conn, result, err)
}

// watch ends the handler's context when the client is gone. A client sends
// nothing after its request, so that any end of this read means that.
func watch(conn *net.UnixConn, cancel func()) {
	var b [1]byte
	_, _ = conn.Read(b[:])
	cancel()
}

// answer sends the outcome. Where that does not work there is nobody to tell.
func answer(conn *net.UnixConn, result any, err error) {
	var resp response
	passed, isPassed := result.(Passed)
	if err == nil && !isPassed {
		resp.Result, err = json.Marshal(result)
	}
	if err != nil {
		resp.Error, resp.Code = err.Error(), 1
		if coded, ok := errors.AsType[*Error](err); ok {
			resp.Code = coded.Code
		}
	}
	resp.OK = err == nil
	_ = conn.SetWriteDeadline(time.Now().Add(responseTimeout))
	if isPassed && err == nil {
		_ = pass(conn, []byte(`{"ok":true}`+"\n"), passed.File)
		return
	}
	_ = json.NewEncoder(conn).Encode(resp)
}
