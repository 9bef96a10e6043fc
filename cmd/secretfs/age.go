package main

import (
	"github.com/secretfs/secretfs/backend"
	"github.com/secretfs/secretfs/backend/age"
	"github.com/secretfs/secretfs/backend/helper"
	"github.com/secretfs/secretfs/backend/offline"
	"github.com/secretfs/secretfs/backend/sops/keys"
)

// openAge is the backend.Opener for type age: the identities are those that
// decrypt sops files too, and drivers do not know each other.
func openAge(config any, env backend.Env) (backend.Backend, error) {
	s := config.(age.Settings)
	ring := keys.New(keys.Config{
		KeyFiles: s.Identities, AgeKeyFiles: s.KeyFiles, SSHKeyFiles: s.SSHKeyFiles, PluginsPath: s.PluginsPath,
	}, env.Helper).Use(keys.PassphraseOf(env, s.Passphrase))
	return age.New(age.Config{
		Dir: s.Dir, Keys: ring, KeyFiles: ring.Sources(), MaxStale: env.Timings.Default.MaxStale,
		Save: env.State.Save, Saved: env.State.Saved,
	}), nil
}

// identities are what opens offline copies: files of the kinds that decrypt sops
// and age files.
func identities(files []string, start helper.Starter) offline.Keys {
	return keys.New(keys.Config{KeyFiles: files}, start)
}

// ageNeeds are the files without which a backend of type age does not work.
func ageNeeds(config any) []string { return config.(age.Settings).Needs() }
