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

// installSDK installs it once a test process. Its scripts are not run.
var installSDK = sync.OnceValues(func() (string, error) {
	dir := scratch()
	cmd := exec.Command("npm", "install", "--prefix", dir, "--ignore-scripts", "--no-audit", "--no-fund", "--no-save", bitwardenSDK)
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("installing %s: %w\n%s", bitwardenSDK, err, out)
	}
	return dir + "/node_modules", nil
})
