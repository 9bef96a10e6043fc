package main

import (
	"context"
	"net"

	"github.com/secretfs/secretfs/backend"
	"github.com/secretfs/secretfs/backend/age"
	"github.com/secretfs/secretfs/backend/sops/keys"
)

// openAge is the backend.Opener for type age: the identities are those that
// decrypt sops files too, and drivers do not know each other.
func openAge(config any, env backend.Env) (backend.Backend, error) {
	s := config.(age.Settings)
	var run keys.Runner
	if env.Helper != nil {
		run = helperRunner(env.Helper)
	}
	ring := keys.New(keys.Config{
		KeyFiles: s.Identities, AgeKeyFiles: s.KeyFiles, SSHKeyFiles: s.SSHKeyFiles, PluginsPath: s.PluginsPath,
	}, run)
	return age.New(age.Config{
		Dir: s.Dir, Keys: ring, KeyFiles: ring.Sources(), MaxStale: env.Timings.Default.MaxStale,
		Save: env.State.Save, Saved: env.State.Saved,
	}), nil
}

// A helperRunner is a keys.Runner.
type helperRunner func(ctx context.Context, call backend.HelperCall) (net.Conn, error)

func (r helperRunner) Run(ctx context.Context, call backend.HelperCall) (net.Conn, error) {
	return r(ctx, call)
}

// ageNeeds are the files without which a backend of type age does not work.
func ageNeeds(config any) []string { return config.(age.Settings).Needs() }
