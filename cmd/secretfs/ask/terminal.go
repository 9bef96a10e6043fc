package ask

import (
	"context"
	"errors"
	"fmt"
	"os"

	"golang.org/x/term"

	"github.com/secretfs/secretfs/backend/secret"
)

// ErrNoTerminal: there is nobody to ask.
var ErrNoTerminal = errors.New("there is no terminal to ask at")

// Terminal asks at the terminal that controls this process, without echo.
func Terminal() (Asker, error) {
	tty, err := os.OpenFile("/dev/tty", os.O_RDWR, 0)
	if err != nil {
		return nil, ErrNoTerminal
	}
	return terminal{tty}, nil
}

type terminal struct{ tty *os.File }

func (terminal) Attempts() int { return attempts }

// Ask leaves the terminal as it was, also when it is interrupted.
func (t terminal) Ask(ctx context.Context, q Question) (*secret.Value, error) {
	fd := int(t.tty.Fd())
	before, err := term.GetState(fd)
	if err != nil {
		return nil, fmt.Errorf("asking at the terminal: %w", err)
	}
	if q.Problem != "" {
		fmt.Fprintf(t.tty, "%s\n", q.Problem)
	}
	fmt.Fprintf(t.tty, "%s of %s: ", q.Prompt, q.Title)
	defer fmt.Fprintln(t.tty)
	type answer struct {
		line []byte
		err  error
	}
	done := make(chan answer, 1)
	go func() {
		// It reads into the heap; secret.Harden keeps that out of dumps, and
		// the process ends soon.
		line, err := term.ReadPassword(fd)
		done <- answer{line, err}
	}()
	select {
	case a := <-done:
		if a.err != nil {
			return nil, fmt.Errorf("asking at the terminal: %w", a.err)
		}
		return secret.From(a.line)
	case <-ctx.Done():
		_ = term.Restore(fd, before) // best effort: we are on our way out
		return nil, ctx.Err()
	}
}
