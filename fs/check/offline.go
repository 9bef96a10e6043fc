package check

import (
	"bytes"
	"context"
	"os"

	"github.com/secretfs/secretfs/backend/offline"
	"github.com/secretfs/secretfs/backend/secret"
)

// offline adds copies that could be made and not be opened again, which would
// show when they are needed.
func (r *Report) offline(ctx context.Context, cfg *Config) {
	for _, b := range cfg.Policy.Backends {
		s, ok := b.Offline.(offline.Settings)
		if !ok || r.needsFiles(&b, b.Name+", offline", s.Files()) || wantsPlugin(s.Files()) {
			continue
		}
		copies := offline.New(offline.Config{
			Settings: s, Backend: b.Name,
			Keys: func(files []string) offline.Keys { return cfg.Identities(files, nil) },
		})
		if err := copies.Probe(ctx); err != nil {
			r.add(written(&b), "backend %s, offline: a copy could not be made and opened again: %v", b.Name, err)
		}
	}
}

// wantsPlugin says that a file names an identity that only a plugin can use, which
// is not started here.
func wantsPlugin(files []string) bool {
	for _, file := range files {
		text, err := os.ReadFile(file)
		found := err == nil && bytes.Contains(text, []byte("AGE-PLUGIN-"))
		secret.Wipe(text)
		if found {
			return true
		}
	}
	return false
}
