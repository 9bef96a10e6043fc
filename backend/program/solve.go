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
	out, said := &output{max: c.Max}, &said{}
	defer func() { out.mem.Destroy() }()
	if err := setEnv(&c); err != nil {
		return nil, helper.Refuse(backend.ErrUnsupported, "running %s: a variable of its environment: %v", c.Argv[0], err)
	}
	cmd := exec.CommandContext(ctx, c.Argv[0], c.Argv[1:]...)
	cmd.Dir, cmd.WaitDelay = c.Dir, leftOpen
	cmd.Stdout, cmd.Stderr = out, said
	if input != nil {
		cmd.Stdin = bytes.NewReader(input)
	}
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
	case errors.Is(err, exec.ErrNotFound):
		return helper.Refuse(backend.ErrUnavailable, "running %s: there is no such program in PATH, which is %s", name, os.Getenv("PATH"))
	case isChdir(err):
		return helper.Refuse(backend.ErrUnavailable, "running %s as uid %d: cannot start it in %s: %v", name, os.Getuid(), c.Dir, errors.Unwrap(err))
	case errors.Is(err, fs.ErrNotExist):
		return helper.Refuse(backend.ErrUnavailable, "running %s: there is no such program", name)
	}
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return helper.Refuse(c.kind(exit.ExitCode()), "running %s as uid %d: %v%s", name, os.Getuid(), err, said())
	}
	return helper.Refuse(backend.ErrUnavailable, "running %s as uid %d: %s", name, os.Getuid(), helper.Printable(err.Error(), maxQuoted))
}

func isChdir(err error) bool {
	in, ok := errors.AsType[*fs.PathError](err)
	return ok && in.Op == "chdir"
}

// What sysexits(3) has for a secret that is damaged, missing or refused.
const (
	exitDataErr = 65
	exitNoInput = 66
	exitNoPerm  = 77
)

// kind is what the exit status of c says.
func (c *Command) kind(status int) error {
	if c.Sysexits {
		switch status {
		case exitDataErr:
			return backend.ErrCorrupt
		case exitNoInput:
			return backend.ErrNotFound
		case exitNoPerm:
			return backend.ErrRejected
		}
	}
	return backend.ErrUnavailable
}
