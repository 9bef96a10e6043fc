package keys

import (
	"errors"
	"fmt"
	"strings"
	"unicode"

	"github.com/secretfs/secretfs/backend"
)

// errNoMatch says that an identity and a master key have nothing to do with
// each other. It is no failure: the next one is tried.
var errNoMatch = errors.New("no identity matches")

// A failure is a sentence and its kind, one of the sentinels of package
// backend. It wraps no error of a library, because those may quote key material.
type failure struct {
	kind error
	text string
}

func (f *failure) Error() string { return f.text }

func (f *failure) Unwrap() error { return f.kind }

// Refuse makes the error that a Solver answers with: kind is a sentinel of
// package backend, the rest a sentence without any secret.
func Refuse(kind error, format string, args ...any) error {
	return &failure{kind, fmt.Sprintf(format, args...)}
}

// severity orders kinds. What may heal by itself wins, so that the resolver
// tries again; a refused key says more than a missing one.
var severity = []error{
	backend.ErrTimeout,
	backend.ErrUnavailable,
	backend.ErrExpired,
	backend.ErrCorrupt,
	backend.ErrRejected,
	backend.ErrUnsupported,
	backend.ErrLocked,
}

// worst is the kind that stands for all of errs, ErrLocked if there are none.
func worst(errs []error) error {
	for _, kind := range severity {
		for _, err := range errs {
			if errors.Is(err, kind) {
				return kind
			}
		}
	}
	return backend.ErrLocked
}

// printable makes text from a file or another program fit for one line of a
// log: no control characters, at most n characters.
func printable(s string, n int) string {
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
