package main

import (
	"encoding/json"

	"github.com/secretfs/secretfs/backend"
	"github.com/secretfs/secretfs/backend/age"
	"github.com/secretfs/secretfs/backend/sops"
	"github.com/secretfs/secretfs/policy"
)

// What this program knows of each type of backend: how to decode its settings,
// how to open one, what its settings look like to an editor, and which files it
// reads.
var (
	drivers = policy.Drivers{
		"age":  {Settings: age.Decode, SecretKeys: age.SecretKeys, Reference: age.Reference},
		"sops": {Settings: sops.Decode},
	}
	openers = map[string]backend.Opener{"age": openAge, "sops": sops.Open}
	schemas = map[string]json.RawMessage{"age": age.Schema, "sops": sops.Schema}
	needs   = map[string]func(config any) []string{"age": ageNeeds, "sops": sopsNeeds}
)
