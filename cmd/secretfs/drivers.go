package main

import (
	"encoding/json"

	"github.com/secretfs/secretfs/backend"
	"github.com/secretfs/secretfs/backend/sops"
	"github.com/secretfs/secretfs/policy"
)

// What this program knows of each type of backend: how to decode its settings,
// how to open one, what its settings look like to an editor, and which files it
// reads.
var (
	drivers = policy.Drivers{"sops": {Settings: sops.Decode}}
	openers = map[string]backend.Opener{"sops": sops.Open}
	schemas = map[string]json.RawMessage{"sops": sops.Schema}
	needs   = map[string]func(config any) []string{"sops": sopsNeeds}
)
