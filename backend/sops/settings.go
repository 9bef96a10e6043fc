package sops

import (
	_ "embed"
	"encoding/json"

	"github.com/secretfs/secretfs/backend"
	"github.com/secretfs/secretfs/backend/credential"
	"github.com/secretfs/secretfs/backend/sops/keys"
	"github.com/secretfs/secretfs/policy/conf"
)

// Schema is the JSON schema of what Decode reads.
//
//go:embed schema.json
var Schema json.RawMessage

// Settings are what the policy says about one backend of type sops.
type Settings struct {
	File   string // absolute path
	Format Format
	Keys   keys.Config
	// Passphrase opens the key files that take one.
	Passphrase credential.Source
}

// Decode reads Settings from an entry of `backends:` in a policy file that lies
// in dir. All problems go to report; it reads no other file.
func Decode(n *conf.Node, dir string, report *conf.Problems) any {
	f := conf.Open(n, report, "file", "format", "age", "identities", "gnupg", "aws", "gcp", "azure", "vault", "keyservice",
		"helpers", "passphrase")
	var s Settings
	if s.File = f.Path("file", dir, ""); f.Get("file") == nil {
		f.Addf("file", "file is missing")
	}
	names := make([]string, len(Formats))
	for i, format := range Formats {
		names[i] = string(format)
	}
	s.Format = Format(f.OneOf("format", string(FormatOf(s.File)), names...))
	s.Keys.KeyFiles = f.Paths("identities", dir)
	s.Passphrase = credential.Decode(f, "passphrase", dir)
	age := f.Map("age", "key_files", "ssh_key_files", "plugins_path")
	s.Keys.AgeKeyFiles = age.Paths("key_files", dir)
	s.Keys.SSHKeyFiles = age.Paths("ssh_key_files", dir)
	s.Keys.PluginsPath = age.Text("plugins_path", "")
	gnupg := f.Map("gnupg", "home", "ssh_key_files")
	s.Keys.GnupgHome = gnupg.Path("home", dir, "")
	s.Keys.PGPSSHKeyFiles = gnupg.Paths("ssh_key_files", dir)
	s.clouds(f, dir)
	s.vault(f.Map("vault", "addresses", "address", "token", "namespace"), dir)
	s.Keys.KeyService = keyService(f)
	s.Keys.HelperUser = f.Map("helpers", "user").Account("user")
	return s
}

// Open is the backend.Opener of this package. It reads nothing yet.
func Open(config any, env backend.Env) (backend.Backend, error) {
	s := config.(Settings)
	ring := keys.New(s.Keys, env.Helper).Use(keys.PassphraseOf(env, s.Passphrase)).
		Borrow(keys.Lender{Credential: env.Credential, Forget: env.Forget})
	return New(Config{
		File: s.File, Format: s.Format, Keys: ring, KeyFiles: ring.Sources(), MaxStale: env.Timings.Default.MaxStale,
		Save: env.State.Save, Saved: env.State.Saved,
	}), nil
}
