// Package vault mounts the built program on a real Vault server.
package vault

import (
	"os"
	"testing"

	"github.com/secretfs/secretfs/tests/harness"
)

func TestMain(m *testing.M) { os.Exit(harness.Main(m)) }
