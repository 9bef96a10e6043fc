package keys

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"time"

	"github.com/secretfs/secretfs/backend"
	"github.com/secretfs/secretfs/backend/secret"
)

// HelperFD is the descriptor on which a helper finds its connection: a socket.
// The standard ones stay free for what it starts.
const HelperFD = 3

// A Solver opens the master key of a Request. Its error comes from Refuse; the
// text of any other is withheld from the asker.
type Solver func(ctx context.Context, q *Request) (*secret.Value, error)

// Serve answers one request of kind gpg or plugin on conn and closes it. It is
// for a process of its own, which ends after it: it may change the environment,
// and what overruns the deadline is left behind. That process leads a process
// group, so that its starter can end the group with it.
func Serve(kind string, conn net.Conn) error {
	switch kind {
	case KindGPG:
		return Answer(conn, solveGPG)
	case KindPlugin:
		return Answer(conn, solvePlugin)
	}
	conn.Close()
	return fmt.Errorf("serving a helper: no kind %q, expected %q or %q", kind, KindGPG, KindPlugin)
}

// Answer has solve answer one request on conn, and closes it. The deadline of
// the request, at most a minute, and the asker's hanging up both end it.
func Answer(conn net.Conn, solve Solver) error {
	defer conn.Close()
	conn.SetReadDeadline(time.Now().Add(10 * time.Second))
	q, err := readRequest(conn)
	if err != nil {
		return fmt.Errorf("reading the request: %w", err)
	}
	conn.SetDeadline(time.Time{})
	ctx, cancel := context.WithTimeout(context.Background(), q.timeout())
	defer cancel()
	go func() {
		io.Copy(io.Discard, conn) // until the asker hangs up
		cancel()
	}()
	v, err := solveWithin(ctx, solve, q)
	defer v.Destroy()
	conn.SetWriteDeadline(time.Now().Add(10 * time.Second))
	if err := writeAnswer(conn, v, err); err != nil {
		return fmt.Errorf("sending the answer: %w", err)
	}
	return nil
}

// solveWithin returns when ctx ends even if solve, which may be in a library
// that knows no deadlines, does not.
func solveWithin(ctx context.Context, solve Solver, q *Request) (*secret.Value, error) {
	type outcome struct {
		v   *secret.Value
		err error
	}
	done := make(chan outcome, 1)
	go func() {
		v, err := solve(ctx, q)
		done <- outcome{v, err}
	}()
	select {
	case o := <-done:
		// What fails after the deadline fails because of it.
		if o.err == nil || ctx.Err() == nil {
			return o.v, o.err
		}
	case <-ctx.Done():
	}
	return nil, Refuse(backend.ErrTimeout, "%s: no answer within %v", q.Key, q.timeout().Round(time.Millisecond))
}

// HelperConn takes the connection of this helper process from HelperFD, after
// it has kept the process out of core dumps.
func HelperConn() (net.Conn, error) {
	if err := secret.Harden(false); err != nil {
		return nil, err
	}
	f := os.NewFile(HelperFD, "helper")
	defer f.Close()
	conn, err := net.FileConn(f)
	if err != nil {
		return nil, fmt.Errorf("starting a helper: descriptor %d, expected a socket: %w", HelperFD, err)
	}
	return conn, nil
}
