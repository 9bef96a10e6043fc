package main

import "slices"

// needs tells, by type, which files a backend reads.
var needs = map[string]func(config any) []string{"sops": sopsNeeds}

func sopsNeeds(config any) []string {
	s := config.(sopsSettings)
	files := slices.Concat([]string{s.file}, s.keys.KeyFiles, s.keys.AgeKeyFiles, s.keys.SSHKeyFiles, s.keys.PGPSSHKeyFiles)
	if s.keys.GnupgHome != "" {
		files = append(files, s.keys.GnupgHome)
	}
	return files
}
