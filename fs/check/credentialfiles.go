package check

import (
	"context"

	"github.com/secretfs/secretfs/backend/credential"
	"github.com/secretfs/secretfs/fs/credentials"
)

// credentialFiles adds the files that credentials are in and that would be
// refused, unless more is missing of a backend.
func (r *Report) credentialFiles(ctx context.Context, cfg *Config, missing map[string]bool) {
	chain := credentials.Chain{Mount: cfg.Policy.Mount}
	for _, b := range cfg.Policy.Backends {
		for _, s := range credential.All(b.Config) {
			if s.Kind != credential.File || missing[b.Name] {
				continue
			}
			v, err := chain.Get(ctx, s)
			v.Destroy()
			if err != nil {
				r.add(written(&b), "backend %s: %v", b.Name, err)
			}
		}
	}
}
