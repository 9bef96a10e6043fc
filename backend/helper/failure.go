package helper

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
)

// ErrNotMine says that a helper has nothing to do with what it was asked. It is no
// failure: another one may be tried.
var ErrNotMine = errors.New("not the helper's affair")

// A Failure is a sentence and its kind, one of the sentinels of package backend or
// ErrNotMine. It wraps no error of a library, because those may quote secrets.
type Failure struct {
	kind error
	text string
}

func (f *Failure) Error() string { return f.text }

// Unwrap gives the kind.
func (f *Failure) Unwrap() error { return f.kind }

// Refuse makes the error that a Solver answers with: kind is a sentinel of
// package backend, the rest a sentence without any secret.
func Refuse(kind error, format string, args ...any) error {
	return &Failure{kind, fmt.Sprintf(format, args...)}
}

// Printable makes text from a file or another program fit for one line of a log:
// no control characters, at most n characters.
func Printable(s string, n int) string {
	s = strings.Map(func(c rune) rune {
		if !unicode.IsPrint(c) {
			return ' '
		}
		return c
	}, strings.TrimSpace(s))
	if r := []rune(s); len(r) > n {
		return string(r[:n]) + "…"
	}
	return s
}
