package main

import (
	"errors"
	"os"

	"github.com/secretfs/secretfs/backend/sops/keys"
)

// runHelper answers one request and ends: `secretfs helper KIND`, started by
// the holder.
func runHelper(args []string) int {
	if len(args) != 1 {
		return report(os.Stderr, exitWith(exitUsage, errors.New("a helper is started by secretfs mount")), "")
	}
	conn, err := keys.HelperConn()
	if err == nil {
		err = keys.Serve(args[0], conn)
	}
	return report(os.Stderr, classify(err), "")
}
