package harness

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"testing"
)

// envBitwardenSDK names the node_modules with Bitwarden's kit that `make test`
// has installed.
const envBitwardenSDK = "SECRETFS_BITWARDEN_SDK"

// bitwardenSDK is the version that Makefile pins too.
const bitwardenSDK = "@bitwarden/sdk-napi@1.0.0"

// BitwardenSDK is a node_modules with Bitwarden's own kit for Secrets Manager.
func BitwardenSDK(t testing.TB) string {
	t.Helper()
	if runtime.GOARCH != "amd64" {
		t.Skip("Bitwarden publishes its kit for Linux on x86-64 alone")
	}
	if path := os.Getenv(envBitwardenSDK); path != "" {
		return path
	}
	path, err := installSDK()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

var installSDK = sync.OnceValues(func() (string, error) { return npm("sdk", bitwardenSDK) })

// npm installs a package once a test process, into a folder of that name, and
// gives the node_modules. Its scripts are not run.
func npm(name, pkg string) (string, error) {
	dir := scratch() + "/" + name
	cmd := exec.Command("npm", "install", "--prefix", dir, "--ignore-scripts", "--no-audit", "--no-fund", "--no-save", pkg)
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("installing %s: %w\n%s", pkg, err, out)
	}
	return dir + "/node_modules", nil
}

// envBitwardenCLI names the node_modules with Bitwarden's command line client that
// `make test` has installed.
const envBitwardenCLI = "SECRETFS_BITWARDEN_CLI"

// bitwardenCLI is the version that Makefile pins too.
const bitwardenCLI = "@bitwarden/cli@2026.6.0"

// BitwardenCLI is the path of bw, Bitwarden's own client for vaults.
func BitwardenCLI(t testing.TB) string {
	t.Helper()
	path := os.Getenv(envBitwardenCLI)
	if path == "" {
		var err error
		if path, err = installCLI(); err != nil {
			t.Fatal(err)
		}
	}
	return path + "/.bin/bw"
}

var installCLI = sync.OnceValues(func() (string, error) { return npm("bw", bitwardenCLI) })
