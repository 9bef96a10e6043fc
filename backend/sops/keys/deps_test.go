package keys_test

import (
	"os/exec"
	"strings"
	"testing"
)

// TestLight guards the worker's size: the software kits of the clouds belong to
// secretfs-keys alone.
func TestLight(t *testing.T) {
	out, err := exec.Command("go", "list", "-deps", "github.com/secretfs/secretfs/backend/sops/keys").Output()
	if err != nil {
		t.Fatal(err)
	}
	deps := strings.Fields(string(out))
	if len(deps) < 50 {
		t.Fatalf("go list names %d packages only", len(deps))
	}
	for _, dep := range deps {
		if strings.HasPrefix(dep, "github.com/getsops/sops/v3") && !strings.HasSuffix(dep, "/shamir") {
			t.Errorf("imports %s", dep)
		}
		for _, heavy := range []string{"aws", "azure", "cloud.google.com", "google.golang.org", "hashicorp", "huaweicloud", "net/http"} {
			if strings.Contains(strings.ToLower(dep), heavy) {
				t.Errorf("imports %s", dep)
			}
		}
	}
}
