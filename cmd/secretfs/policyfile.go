package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"

	"github.com/secretfs/secretfs/backend/offline"
	"github.com/secretfs/secretfs/fs/control"
	"github.com/secretfs/secretfs/policy"
)

// loadPolicy reads the policy file of a mount. What it leaves out is as for the
// whole machine for root, and as for one user for anybody else.
func loadPolicy(name string) (*policy.Policy, error) {
	path, err := filepath.Abs(name)
	if err != nil {
		return nil, fmt.Errorf("finding the policy: %w", err)
	}
	data, err := readPolicy(path)
	if err != nil {
		return nil, err
	}
	return policy.Parse(path, data, policyEnv())
}

func readPolicy(path string) ([]byte, error) {
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, hinted(exitFailed, fmt.Errorf("reading the policy: %w", err), "`man 5 secretfs` shows one to start from")
	}
	if err != nil {
		return nil, exitWith(exitFailed, fmt.Errorf("reading the policy: %w", err))
	}
	return data, nil
}

// policyEnv is what a policy means where it says nothing.
func policyEnv() policy.Env {
	env := policy.Env{Drivers: drivers, Offline: offline.Decode}
	if os.Geteuid() == 0 {
		return env
	}
	env.Owner, env.Group = strconv.Itoa(os.Geteuid()), strconv.Itoa(os.Getegid())
	// Without a runtime directory the machine's paths stand, which a user
	// may not write to: the policy then has to name others.
	if socket, err := control.DefaultPath(); err == nil {
		env.Control = socket
		env.Mount = filepath.Join(filepath.Dir(filepath.Dir(socket)), "secrets")
	}
	state := os.Getenv("XDG_STATE_HOME")
	if home, err := os.UserHomeDir(); err == nil && state == "" {
		state = filepath.Join(home, ".local", "state")
	}
	if state != "" {
		env.State = filepath.Join(state, "secretfs")
		env.AuditFile = filepath.Join(env.State, "audit.jsonl")
	}
	return env
}
