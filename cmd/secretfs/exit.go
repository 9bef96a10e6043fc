package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/secretfs/secretfs/fs/control"
	"github.com/secretfs/secretfs/policy/conf"
)

// The exit codes of every command. They are part of the contract with scripts.
const (
	exitOK      = 0
	exitFailed  = 1 // it did not work
	exitUsage   = 2 // wrong use
	exitPolicy  = 3 // the policy has errors
	exitNoMount = 4 // no such mount or no control socket
)

// An exitError is an error that a command ends with. An error of any other
// type comes from parsing the command line.
type exitError struct {
	code int
	err  error
	hint string // a line for people on what to do about it, may be empty
}

func (e *exitError) Error() string { return e.err.Error() }
func (e *exitError) Unwrap() error { return e.err }

// exitWith gives err an exit code, unless it has one.
func exitWith(code int, err error) error {
	if _, ok := errors.AsType[*exitError](err); ok || err == nil {
		return err
	}
	return &exitError{code: code, err: err}
}

// hinted is exitWith, and a line that helps.
func hinted(code int, err error, hint string) error {
	return &exitError{code: code, err: err, hint: hint}
}

// classify gives an error of a package below us its exit code and hint.
func classify(err error) error {
	if _, ok := errors.AsType[*exitError](err); ok || err == nil {
		return err
	}
	if answered, ok := errors.AsType[*control.Error](err); ok {
		return exitWith(answered.Code, err)
	}
	if problems, ok := errors.AsType[*conf.Problems](err); ok {
		return exitWith(exitPolicy, fmt.Errorf("the policy has errors:\n%w", problems))
	}
	switch {
	case errors.Is(err, context.Canceled):
		return exitWith(exitFailed, errors.New("interrupted"))
	case errors.Is(err, control.ErrNoDaemon):
		return hinted(exitNoMount, err, "start one with `secretfs mount --policy FILE`, or name the one you mean with --policy FILE or --control PATH")
	case errors.Is(err, fs.ErrPermission) && os.Geteuid() != 0:
		return hinted(exitFailed, err, "a mount of the whole machine belongs to root: try again with sudo")
	}
	return exitWith(exitFailed, err)
}

// report prints err for people and returns the exit code.
func report(stderr io.Writer, err error, usageHint string) int {
	if err == nil {
		return exitOK
	}
	code, hint := exitUsage, usageHint
	if e, ok := errors.AsType[*exitError](err); ok {
		code, hint = e.code, e.hint
		if code == exitUsage && hint == "" {
			hint = usageHint
		}
	}
	fmt.Fprintf(stderr, "secretfs: %v\n", err)
	if hint != "" {
		fmt.Fprintf(stderr, "  %s\n", hint)
	}
	return code
}
