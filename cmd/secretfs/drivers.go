package main

import (
	"encoding/json"

	"github.com/secretfs/secretfs/backend"
	"github.com/secretfs/secretfs/backend/age"
	"github.com/secretfs/secretfs/backend/bitwarden"
	"github.com/secretfs/secretfs/backend/bws"
	"github.com/secretfs/secretfs/backend/credential"
	"github.com/secretfs/secretfs/backend/dir"
	"github.com/secretfs/secretfs/backend/exec"
	"github.com/secretfs/secretfs/backend/sops"
	"github.com/secretfs/secretfs/backend/systemdcreds"
	"github.com/secretfs/secretfs/backend/vault"
	"github.com/secretfs/secretfs/policy"
)

// What this program knows of each type of backend: how to decode its settings,
// how to open one, what its settings look like to an editor, which files it
// reads, and what there is to be said against it.
var (
	drivers = policy.Drivers{
		"age": {Settings: age.Decode, SecretKeys: age.SecretKeys, Reference: age.Reference, Secrets: credential.Secrets},
		"bitwarden": {
			Settings: bitwarden.Decode, SecretKeys: bitwarden.SecretKeys, Reference: bitwarden.Reference,
			DirectoryKeys: bitwarden.DirectoryKeys, Directory: bitwarden.Directory,
			TTL: bitwarden.DefaultTTL, Disk: true, OwnCopies: true, Secrets: credential.Secrets,
		},
		"bws": {
			Settings: bws.Decode, SecretKeys: bws.SecretKeys, Reference: bws.Reference,
			TTL: bws.TTL, Disk: true, OwnCopies: true, Secrets: credential.Secrets,
		},
		"dir":  {Settings: dir.Decode, SecretKeys: dir.SecretKeys, Reference: dir.Reference},
		"exec": {Settings: exec.Decode, SecretKeys: exec.SecretKeys, Reference: exec.Reference, TTL: exec.TTL},
		"sops": {Settings: sops.Decode, Secrets: credential.Secrets},
		"systemd-creds": {
			Settings: systemdcreds.Decode, SecretKeys: systemdcreds.SecretKeys, Reference: systemdcreds.Reference,
			TTL: systemdcreds.TTL,
		},
		"vault": {
			Settings: vault.Decode, SecretKeys: vault.SecretKeys, Reference: vault.Reference,
			DirectoryKeys: vault.DirectoryKeys, Directory: vault.Directory,
			TTL: vault.TTL, Secrets: credential.Secrets,
		},
	}
	openers = map[string]backend.Opener{
		"age":           openAge,
		"bitwarden":     bitwarden.Open,
		"bws":           bws.Open,
		"dir":           dir.Open,
		"exec":          exec.Open,
		"sops":          sops.Open,
		"systemd-creds": systemdcreds.Open,
		"vault":         vault.Open,
	}
	schemas = map[string]json.RawMessage{
		"age":           age.Schema,
		"bitwarden":     bitwarden.Schema,
		"bws":           bws.Schema,
		"dir":           dir.Schema,
		"exec":          exec.Schema,
		"sops":          sops.Schema,
		"systemd-creds": systemdcreds.Schema,
		"vault":         vault.Schema,
	}
	needs = map[string]func(config any) []string{
		"age":           ageNeeds,
		"bitwarden":     bitwarden.Needs,
		"bws":           bws.Needs,
		"dir":           dirNeeds,
		"sops":          sopsNeeds,
		"systemd-creds": func(config any) []string { return []string{config.(systemdcreds.Settings).Path} },
		"vault":         vault.Needs,
	}
	doubts = map[string]func(config any) []string{"dir": dirDoubts, "exec": execDoubts}
)
