package main

import (
	"fmt"
	"os"
	osexec "os/exec"
	"strings"

	"github.com/secretfs/secretfs/backend/exec"
)

// execDoubts tells of a program that is not there, and of what looks like a secret in
// the policy.
func execDoubts(config any) (doubts []string) {
	s := config.(exec.Settings)
	path := os.Getenv("PATH")
	for _, entry := range s.Env {
		name, value, _ := strings.Cut(entry, "=")
		if name == "PATH" {
			path = value
		}
		if looksSecret(name) && value != "" && !strings.HasPrefix(value, "/") {
			doubts = append(doubts, fmt.Sprintf("env has %s: what is written in the policy is readable in the Nix store, in backups and for whoever may read the policy", name))
		}
	}
	if len(s.Command) > 0 && path == os.Getenv("PATH") {
		if _, err := osexec.LookPath(s.Command[0]); err != nil {
			doubts = append(doubts, fmt.Sprintf("there is no program %s (PATH is %s)", s.Command[0], path))
		}
	}
	return doubts
}

// looksSecret goes by the names that such variables have.
func looksSecret(name string) bool {
	for _, end := range []string{"TOKEN", "PASSWORD", "PASSPHRASE", "SECRET", "SESSION", "_KEY"} {
		if strings.HasSuffix(strings.ToUpper(name), end) {
			return true
		}
	}
	return false
}
