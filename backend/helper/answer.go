package helper

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"time"

	"github.com/secretfs/secretfs/backend"
	"github.com/secretfs/secretfs/backend/secret"
)

// FD is the descriptor on which a helper finds its connection: a socket. The
// standard ones stay free for what it starts.
const FD = 3

// A Question is what a helper is asked. Its Secrets are destroyed once it is
// answered.
type Question struct {
	Body    json.RawMessage
	Secrets []*secret.Value
	Time    time.Duration // for how long the asker waits
}

// Decode reads the body into q, a pointer.
func (q *Question) Decode(into any) error {
	if json.Unmarshal(q.Body, into) != nil {
		return errors.New("reading the question: it is not what this helper is asked")
	}
	return nil
}

func (q *Question) destroy() {
	for _, v := range q.Secrets {
		v.Destroy()
	}
}

// A Solver answers a Question. Its error comes from Refuse; the text of any other
// is withheld from the asker.
type Solver func(ctx context.Context, q *Question) (*secret.Value, error)

// Answer has solve answer one question on conn, and closes it. The deadline of the
// question, at most a minute, and the asker's hanging up both end it. It is for a
// process of its own, which ends after it: what overruns the deadline is left
// behind. That process leads a process group, so that its starter can end the
// group with it.
func Answer(conn net.Conn, solve Solver) error {
	defer conn.Close()
	conn.SetReadDeadline(time.Now().Add(10 * time.Second))
	q, err := readQuestion(conn)
	if err != nil {
		return fmt.Errorf("reading the question: %w", err)
	}
	conn.SetDeadline(time.Time{})
	ctx, cancel := context.WithTimeout(context.Background(), q.Time)
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
func solveWithin(ctx context.Context, solve Solver, q *Question) (*secret.Value, error) {
	type outcome struct {
		v   *secret.Value
		err error
	}
	done := make(chan outcome, 1)
	go func() {
		defer q.destroy()
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
	return nil, Refuse(backend.ErrTimeout, "no answer within %v", q.Time.Round(time.Millisecond))
}

// Conn takes the connection of this helper process from FD, after it has kept the
// process out of core dumps.
func Conn() (net.Conn, error) {
	if err := secret.Harden(false); err != nil {
		return nil, err
	}
	f := os.NewFile(FD, "helper")
	defer f.Close()
	conn, err := net.FileConn(f)
	if err != nil {
		return nil, fmt.Errorf("starting a helper: descriptor %d, expected a socket: %w", FD, err)
	}
	return conn, nil
}
