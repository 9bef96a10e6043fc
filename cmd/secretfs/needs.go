package main

import (
	"slices"

	"github.com/secretfs/secretfs/backend/sops"
)

// sopsNeeds are the files without which a backend of type sops does not work.
func sopsNeeds(config any) []string {
	s := config.(sops.Settings)
	files := slices.Concat([]string{s.File}, s.Keys.KeyFiles, s.Keys.AgeKeyFiles, s.Keys.SSHKeyFiles, s.Keys.PGPSSHKeyFiles)
	if s.Keys.GnupgHome != "" {
		files = append(files, s.Keys.GnupgHome)
	}
	return files
}
