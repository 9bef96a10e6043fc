// Command secretfs-keys recovers one sops data key, or Shamir share, with a cloud
// KMS or the transit engine of Vault. secretfs starts it when a file needs it; it
// answers one request on descriptor 3 (package backend/helper) and ends.
//
// It is a program of its own because it alone links all of sops/v3 and with it
// the software kits of the clouds. Credentials come with the request, or else
// from its environment, as for sops itself. It asks a key service too.
package main

import (
	"fmt"
	"os"

	"github.com/secretfs/secretfs/backend/helper"
	"github.com/secretfs/secretfs/backend/sops/keys"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "secretfs-keys:", err)
		os.Exit(1)
	}
}

func run() error {
	// Else sops would send the token to any server that the file names.
	if err := os.Setenv(keys.VaultAllowlist, keys.DefaultVaultAllowlist(os.Getenv)); err != nil {
		return err
	}
	conn, err := helper.Conn()
	if err != nil {
		return err
	}
	return keys.Answer(conn, solve)
}
