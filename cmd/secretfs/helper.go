package main

import (
	"context"
	"errors"
	"os"

	"github.com/secretfs/secretfs/backend"
	"github.com/secretfs/secretfs/backend/bitwarden/kdf"
	"github.com/secretfs/secretfs/backend/helper"
	"github.com/secretfs/secretfs/backend/program"
	"github.com/secretfs/secretfs/backend/secret"
	"github.com/secretfs/secretfs/backend/sops/keys"
	"github.com/secretfs/secretfs/fs/mount"
)

// runHelper answers one request and ends: `secretfs helper KIND`.
func runHelper(args []string) int {
	if len(args) != 1 {
		return report(os.Stderr, exitWith(exitUsage, errors.New("a helper is started by secretfs mount")), "")
	}
	conn, err := helper.Conn()
	switch {
	case err != nil:
	case args[0] == program.Kind:
		err = helper.Answer(conn, program.Solve)
	case args[0] == kdf.Kind:
		err = helper.Answer(conn, kdf.Solve)
	default:
		err = keys.Serve(args[0], conn)
	}
	return report(os.Stderr, classify(err), "")
}

// runBecome gives up what a helper needs not, and is the helper from then on:
// `secretfs become CONFINEMENT PROGRAM ARG...`, started by the holder. Whoever
// waits for the helper is told why there is none.
func runBecome(args []string) int {
	if len(args) < 2 {
		return report(os.Stderr, exitWith(exitUsage, errors.New("a helper is started by secretfs mount")), "")
	}
	failed := mount.Become(args[0], args[1:])
	conn, err := helper.Conn()
	if err == nil {
		err = helper.Answer(conn, func(context.Context, *helper.Question) (*secret.Value, error) {
			return nil, helper.Refuse(backend.ErrUnavailable, "starting a helper: %v", failed)
		})
	}
	return report(os.Stderr, classify(errors.Join(failed, err)), "")
}
