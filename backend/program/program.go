// Package program has a helper run a program and gives what that prints: for
// credentials, and for whatever else a program knows. No shell sees the command
// line. The program is in the helper's session and process group, so that
// whoever ends the helper ends all of it.
package program

import (
	"context"

	"github.com/secretfs/secretfs/backend"
	"github.com/secretfs/secretfs/backend/helper"
	"github.com/secretfs/secretfs/backend/secret"
)

// Kind is the kind of helper that runs programs.
const Kind = "program"

// A Command is a program and what it gets.
type Command struct {
	Argv []string `json:"argv"` // the first is looked for in PATH
	// Env has NAME=value entries beside those of every helper; Dir is where it
	// starts, / where empty. Neither holds a secret.
	Env []string `json:"env,omitempty"`
	Dir string   `json:"dir,omitempty"`
	Max int      `json:"max"` // the longest output in bytes
	// Sysexits says that the exit status has a meaning, that of sysexits(3): 65 is
	// ErrCorrupt, 66 ErrNotFound, 77 ErrRejected.
	Sysexits bool `json:"sysexits,omitempty"`
	// User is as whom it runs, by name or number. Without one that is a uid
	// which nobody else has, in a user mount its user.
	User string `json:"-"`
	// Input is what it reads on stdin, nothing where nil. It stays the caller's.
	Input *secret.Value `json:"-"`
}

// Run runs c and gives what it has printed, which the caller destroys. A program
// that fails gives ErrUnavailable and the last of what it has written to stderr,
// unless that shows a part of its output; longer output than Max gives
// ErrUnsupported. See helper.Ask for the other errors.
func Run(ctx context.Context, start helper.Starter, c Command) (*secret.Value, error) {
	ask := helper.Ask{Call: backend.HelperCall{Kind: Kind, User: c.User}, Body: c, Limit: c.Max}
	if c.Input != nil {
		ask.Secrets = []*secret.Value{c.Input}
	}
	return ask.Do(ctx, start)
}
