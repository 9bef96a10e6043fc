// Package ask asks the user for a secret: at the terminal, through a pinentry
// program, or as lines of stdin. What comes in goes into locked memory; it knows
// nothing of what it is for.
package ask

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/secretfs/secretfs/backend/secret"
)

// A Question is one thing to ask for.
type Question struct {
	Title  string // what it is about: "backend bw"
	Prompt string // what it is: "master password"
	// Problem says what was wrong with the last answer, empty at the first.
	Problem string
}

// An Asker puts questions.
type Asker interface {
	// Ask gives the answer, which the caller destroys. It ends with ctx.
	Ask(ctx context.Context, q Question) (*secret.Value, error)
	// Attempts is how often a wrong answer is worth asking again, the first
	// time included.
	Attempts() int
}

// attempts is for people, who mistype.
const attempts = 3

// maxLen is the longest answer in bytes.
const maxLen = 64 << 10

// Lines reads answers from r, one a line. A wrong one is not asked for again:
// whoever wrote it cannot answer.
func Lines(r io.Reader) Asker { return lines{r} }

type lines struct{ r io.Reader }

func (lines) Attempts() int { return 1 }

// Ask reads byte by byte, so that nothing of the next line lies in a buffer.
func (l lines) Ask(_ context.Context, q Question) (*secret.Value, error) {
	buf, err := secret.New(maxLen)
	if err != nil {
		return nil, err
	}
	defer buf.Destroy()
	b := buf.Bytes()
	for n := 0; n < len(b); n++ {
		_, err := io.ReadFull(l.r, b[n:n+1])
		switch {
		case errors.Is(err, io.EOF) && n == 0:
			return nil, fmt.Errorf("reading the %s of %s: stdin has ended", q.Prompt, q.Title)
		case err != nil && !errors.Is(err, io.EOF):
			return nil, fmt.Errorf("reading the %s of %s: %w", q.Prompt, q.Title, err)
		case err != nil || b[n] == '\n':
			return copied(b[:n])
		}
	}
	return nil, fmt.Errorf("reading the %s of %s: it is longer than %d bytes", q.Prompt, q.Title, maxLen)
}

func copied(b []byte) (*secret.Value, error) {
	v, err := secret.New(len(b))
	if err != nil {
		return nil, err
	}
	copy(v.Bytes(), b)
	return v, nil
}
