package program

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"time"

	"github.com/secretfs/secretfs/backend"
	"github.com/secretfs/secretfs/backend/helper"
	"github.com/secretfs/secretfs/backend/secret"
)

const (
	// maxSaid is how much is kept of what a program says on stderr, in bytes,
	// maxQuoted how much of that gets into an error, in characters.
	maxSaid, maxQuoted = 4096, 200
	// leftOpen is how long the end of its output is waited for after a program
	// has ended: it may have left a daemon behind.
	leftOpen = 200 * time.Millisecond
)

// Solve is the helper.Solver of Kind.
func Solve(ctx context.Context, q *helper.Question) (*secret.Value, error) {
	var c Command
	if err := q.Decode(&c); err != nil {
		return nil, err
	}
	if len(c.Argv) == 0 || c.Max < 0 {
		return nil, helper.Refuse(backend.ErrUnsupported, "running a program: none is named")
	}
	var input []byte
	if len(q.Secrets) > 0 {
		input = q.Secrets[0].Bytes()
	}
	out, said := &output{max: c.Max}, &beginning{max: maxSaid}
	defer func() { out.mem.Destroy() }()
	cmd := exec.CommandContext(ctx, c.Argv[0], c.Argv[1:]...)
	cmd.Env, cmd.Dir, cmd.WaitDelay = append(os.Environ(), c.Env...), c.Dir, leftOpen
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(input), out, said
	if err := failure(&c, cmd.Run(), out, func() string { return said.quote(out.bytes(), input) }); err != nil {
		return nil, err
	}
	return out.value()
}

// failure makes a sentence of err.
func failure(c *Command, err error, out *output, said func() string) error {
	name := helper.Printable(c.Argv[0], maxQuoted)
	switch {
	case out.err != nil:
		return helper.Refuse(backend.ErrUnsupported, "running %s: %v", name, out.err)
	case err == nil, errors.Is(err, exec.ErrWaitDelay):
		return nil
	case errors.Is(err, exec.ErrNotFound), errors.Is(err, fs.ErrNotExist):
		return helper.Refuse(backend.ErrUnavailable, "running %s: there is no such program, or no directory to start it in", name)
	case errors.As(err, new(*exec.ExitError)):
		return helper.Refuse(backend.ErrUnavailable, "running %s as uid %d: %v%s", name, os.Getuid(), err, said())
	}
	return helper.Refuse(backend.ErrUnavailable, "running %s as uid %d: %s", name, os.Getuid(), helper.Printable(err.Error(), maxQuoted))
}
