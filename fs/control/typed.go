package control

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/secretfs/secretfs/backend/secret"
)

// Limits of what is typed.
const (
	maxFields = 16
	maxTyped  = 64 << 10 // bytes, of one field
	// typedTime is for a pipe to give what the request has announced.
	typedTime = 10 * time.Second
)

// A Typed is a credential that somebody has typed.
type Typed struct {
	Field string
	Value *secret.Value
}

// pipeKey is how a handler's context holds the descriptor that came along.
type pipeKey struct{}

// Unlock gives the backend named what was typed. The values stay the caller's.
// They go from locked memory through a pipe into locked memory. The errors are
// those of Call.
func (c *Client) Unlock(ctx context.Context, name string, typed []Typed) (answer UnlockAnswer, err error) {
	request := UnlockRequest{Backend: name}
	for _, t := range typed {
		request.Fields = append(request.Fields, Field{Name: t.Field, Len: t.Value.Len()})
	}
	line, err := encode(CmdUnlock, request)
	if err != nil {
		return answer, err
	}
	err = c.persist(ctx, true, func() error {
		ours, theirs, err := os.Pipe()
		if err != nil {
			return fmt.Errorf("making a pipe: %w", err)
		}
		defer ours.Close()
		written := make(chan struct{})
		go func() {
			defer close(written)
			defer theirs.Close()
			for _, t := range typed {
				_, _ = theirs.Write(t.Value.Bytes()) // who does not read it says why
			}
		}()
		err = c.exchange(ctx, line, ours, &answer, new(fileReader))
		ours.Close() // ends a write that nobody reads
		<-written
		return err
	})
	return answer, err
}

// Read takes, within a Handler, what came with a request that announced fields.
// The caller destroys the values.
func Read(ctx context.Context, fields []Field) (typed []Typed, err error) {
	pipe, _ := ctx.Value(pipeKey{}).(*os.File)
	if len(fields) == 0 {
		return nil, nil
	}
	if pipe == nil || len(fields) > maxFields {
		return nil, errors.New("unlocking: what was typed did not come along")
	}
	f, err := pollable(pipe)
	if err != nil {
		return nil, fmt.Errorf("unlocking: taking what was typed: %w", err)
	}
	defer f.Close()
	if err := f.SetReadDeadline(time.Now().Add(typedTime)); err != nil {
		return nil, fmt.Errorf("unlocking: what was typed comes in no pipe: %w", err)
	}
	defer func() {
		if err != nil {
			Wipe(typed)
		}
	}()
	for _, field := range fields {
		if field.Len < 0 || field.Len > maxTyped {
			return typed, fmt.Errorf("unlocking: the %s has %d bytes, expected at most %d", field.Name, field.Len, maxTyped)
		}
		v, err := secret.New(field.Len)
		if err != nil {
			return typed, err
		}
		typed = append(typed, Typed{field.Name, v})
		if _, err := io.ReadFull(f, v.Bytes()); err != nil {
			return typed, fmt.Errorf("unlocking: reading what was typed: %w", err)
		}
	}
	return typed, nil
}

// pollable is a copy of f that deadlines work for.
func pollable(f *os.File) (*os.File, error) {
	fd := f.Fd()
	dup, err := unix.FcntlInt(fd, unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	if err := unix.SetNonblock(dup, true); err != nil {
		unix.Close(dup)
		return nil, err
	}
	return os.NewFile(uintptr(dup), "typed"), nil
}

// Wipe destroys the values.
func Wipe(typed []Typed) {
	for _, t := range typed {
		t.Value.Destroy()
	}
}
