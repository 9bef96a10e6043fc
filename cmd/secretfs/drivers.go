package main

import (
	"context"
	"net"

	"github.com/secretfs/secretfs/backend"
	"github.com/secretfs/secretfs/backend/sops"
	"github.com/secretfs/secretfs/backend/sops/keys"
	"github.com/secretfs/secretfs/policy"
	"github.com/secretfs/secretfs/policy/conf"
)

// drivers are the types of backend that this program has.
var drivers = policy.Drivers{"sops": decodeSops}

// openers open what drivers have decoded.
var openers = map[string]backend.Opener{"sops": openSops}

type sopsSettings struct {
	file string
	form string
	keys keys.Config
}

func decodeSops(n *conf.Node, dir string, report *conf.Problems) any {
	f := conf.Open(n, report, "file", "format", "age", "identities", "gnupg")
	var s sopsSettings
	if s.file = f.Path("file", dir, ""); f.Get("file") == nil {
		f.Addf("file", "file is missing")
	}
	s.form = f.OneOf("format", "", "", "yaml", "json", "dotenv", "ini", "binary")
	s.keys.KeyFiles = f.Paths("identities", dir)
	age := f.Map("age", "key_files", "ssh_key_files", "plugins_path")
	s.keys.AgeKeyFiles = age.Paths("key_files", dir)
	s.keys.SSHKeyFiles = age.Paths("ssh_key_files", dir)
	s.keys.PluginsPath = age.Text("plugins_path", "")
	gnupg := f.Map("gnupg", "home", "ssh_key_files")
	s.keys.GnupgHome = gnupg.Path("home", dir, "")
	s.keys.PGPSSHKeyFiles = gnupg.Paths("ssh_key_files", dir)
	return s
}

type runner func(ctx context.Context, kind string) (net.Conn, error)

func (r runner) Run(ctx context.Context, kind string) (net.Conn, error) { return r(ctx, kind) }

func openSops(config any, env backend.Env) (backend.Backend, error) {
	s := config.(sopsSettings)
	ring := keys.New(s.keys, runner(env.Helper))
	format := sops.Format(s.form)
	if format == "" {
		format = sops.FormatOf(s.file)
	}
	return sops.New(sops.Config{
		File: s.file, Format: format, Keys: ring, KeyFiles: ring.Sources(), MaxStale: env.MaxStale,
		SaveState: env.Save, RestoreState: env.Saved,
	}), nil
}
