package helper

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"time"

	"github.com/secretfs/secretfs/backend"
	"github.com/secretfs/secretfs/backend/secret"
)

// A Starter starts a helper and gives the connection to it. Closing that ends the
// helper and whatever it has started. It is what backend.Env.Helper is.
type Starter func(ctx context.Context, call backend.HelperCall) (net.Conn, error)

// longest is how long a helper is waited for where ctx gives more.
const longest = 30 * time.Second

// An Ask is one question.
type Ask struct {
	Call backend.HelperCall
	// Body becomes JSON. It holds no secret.
	Body any
	// Secrets go with it. They stay the asker's.
	Secrets []*secret.Value
	Limit   int // bytes, of the answer
}

// Do starts a helper and asks it. The caller destroys the Value. The error is
// context.Canceled where ctx was cancelled, or wraps a sentinel of package backend,
// or is ErrNotMine.
func (a *Ask) Do(ctx context.Context, start Starter) (*secret.Value, error) {
	v, err := a.Exchange(ctx, start)
	switch {
	case err == nil || errors.As(err, new(*Failure)):
		return v, err
	case errors.Is(ctx.Err(), context.Canceled):
		return nil, ctx.Err()
	case ctx.Err() != nil || errors.Is(err, context.DeadlineExceeded):
		return nil, Refuse(backend.ErrTimeout, "the helper %q gave no answer before the deadline", a.Call.Kind)
	case errors.Is(err, fs.ErrNotExist):
		return nil, Refuse(backend.ErrLocked, "the helper %q is needed: %v", a.Call.Kind, err)
	}
	return nil, Refuse(backend.ErrUnavailable, "asking the helper %q: %v", a.Call.Kind, err)
}

// Exchange is Do for an asker with sentences of its own: what is no Failure comes
// as it is.
func (a *Ask) Exchange(ctx context.Context, start Starter) (*secret.Value, error) {
	if start == nil {
		return nil, errors.New("no helper can be started here")
	}
	ctx, cancel := context.WithTimeout(ctx, longest)
	defer cancel()
	conn, err := start(ctx, a.Call)
	if err != nil {
		return nil, fmt.Errorf("starting it: %w", err)
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.SetDeadline(time.Now()) })()
	deadline, _ := ctx.Deadline()
	if err := writeQuestion(conn, a.Body, time.Until(deadline), a.Secrets); err != nil {
		return nil, fmt.Errorf("sending the question: %w", err)
	}
	v, err := readAnswer(conn, a.Limit)
	switch {
	case err == nil || errors.As(err, new(*Failure)):
		return v, err
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case time.Until(deadline) < early:
		return nil, context.DeadlineExceeded
	}
	return nil, fmt.Errorf("reading the answer: %w", err)
}

// early is how long before a deadline a helper may be killed because of it: clocks
// go by different ticks, and who starts helpers is told milliseconds.
const early = 20 * time.Millisecond
