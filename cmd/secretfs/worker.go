package main

import (
	"errors"
	"os"

	"github.com/secretfs/secretfs/fs/worker"
)

// runWorker serves one policy: `secretfs worker POLICY`, started by a holder.
func runWorker(args []string) int {
	if len(args) != 1 {
		return report(os.Stderr, exitWith(exitUsage, errors.New("a worker is started by secretfs mount")), "")
	}
	err := worker.Run(worker.Config{
		Policy: args[0], Env: policyEnv(), Openers: openers, Identities: identities, Version: version,
	})
	return report(os.Stderr, classify(err), "")
}
