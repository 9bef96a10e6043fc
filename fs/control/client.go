package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// A Client asks the worker behind the socket at Path. It keeps no connection;
// it is safe for concurrent use.
type Client struct {
	Path string
	// Patience is for how long an idempotent command is asked again after
	// a worker died with it; 0 means 10 s, which is more than the holder
	// takes to replace a worker.
	Patience time.Duration
}

const (
	defaultPatience = 10 * time.Second
	retryPause      = 20 * time.Millisecond
)

// Call sends one command and decodes its result into result, unless that is
// nil. It returns ErrNoDaemon, ErrBroken, ctx's error, or an *Error that the
// worker answered with.
func (c *Client) Call(ctx context.Context, command string, args, result any) error {
	line, err := encode(command, args)
	if err != nil {
		return err
	}
	return c.persist(ctx, idempotent[command], func() error { return c.exchange(ctx, line, nil, result, new(fileReader)) })
}

// persist calls try until the connection does not break. Only what may be asked
// twice is.
func (c *Client) persist(ctx context.Context, twice bool, try func() error) error {
	patience := c.Patience
	if patience == 0 {
		patience = defaultPatience
	}
	var lost time.Time // when the first of several connections in a row broke
	for {
		began := time.Now()
		err := try()
		if !errors.Is(err, ErrBroken) || !twice {
			return err
		}
		if lost.IsZero() || time.Since(began) > patience {
			lost = time.Now() // that worker had lived: a wait may outlast many
		}
		if time.Since(lost) > patience {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(retryPause):
		}
	}
}

func encode(command string, args any) ([]byte, error) {
	req := request{Command: command}
	if args != nil {
		raw, err := json.Marshal(args)
		if err != nil {
			return nil, fmt.Errorf("encoding the arguments of %s: %w", command, err)
		}
		req.Args = raw
	}
	line, err := json.Marshal(req)
	return append(line, '\n'), err
}

// exchange asks once, over a connection of its own. pass goes with the question,
// unless it is nil; r keeps a descriptor that comes with the answer.
func (c *Client) exchange(ctx context.Context, line []byte, pass *os.File, result any, r *fileReader) error {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unix", c.Path)
	if err != nil {
		return c.dialError(ctx, err)
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })()

	// A refused peer is answered before it has asked: the write may fail
	// while the answer is there to be read.
	r.conn = conn.(*net.UnixConn)
	var rights []byte
	if pass != nil {
		rights = unix.UnixRights(int(pass.Fd()))
	}
	_, _, writeErr := r.conn.WriteMsgUnix(line, rights, nil)
	var resp response
	err = readLine(r, maxResponse, &resp)
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, io.EOF):
		return ErrBroken
	case err != nil:
		return fmt.Errorf("reading the answer: %w", errors.Join(err, writeErr))
	case !resp.OK:
		return &Error{Sentence: resp.Error, Code: resp.Code}
	case result == nil:
		return nil
	}
	if err := json.Unmarshal(resp.Result, result); err != nil {
		return fmt.Errorf("decoding the answer: %w", err)
	}
	return nil
}

func (c *Client) dialError(ctx context.Context, err error) error {
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Errorf("%w: nobody serves %s", ErrNoDaemon, c.Path)
	}
	return fmt.Errorf("connecting to the control socket: %w", err)
}
