package demo_test

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/secretfs/secretfs/tests/harness"
)

func TestMain(m *testing.M) { os.Exit(harness.Main(m)) }

// The demonstration, as root and as an ordinary user, leaves nothing behind.
func TestDemo(t *testing.T) {
	harness.Matrix(t, func(t *testing.T) {
		tmp := t.TempDir()
		cmd := exec.Command(harness.Program(t), "demo", "--sops", harness.Sops(t))
		cmd.Env = append(os.Environ(), "TMPDIR="+tmp)
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("secretfs demo: %v\n%s", err, out)
		}
		for _, shown := range []string{
			"correct horse battery staple", "Permission denied", `"outcome":"refused"`,
			"none failed", "a new one, after the rotation", "the chain is whole",
		} {
			if !strings.Contains(string(out), shown) {
				t.Errorf("the demo does not show %q:\n%s", shown, out)
			}
		}
		if left, err := os.ReadDir(tmp); err != nil || len(left) > 0 {
			t.Errorf("the demo left %v, %v", left, err)
		}
	})
}

func TestDemoNeedsSops(t *testing.T) {
	cmd := exec.Command(harness.Program(t), "demo", "--sops", "/nowhere/sops")
	out, err := cmd.CombinedOutput()
	if cmd.ProcessState.ExitCode() != 1 || !strings.Contains(string(out), "or run `make demo`, which builds it") {
		t.Errorf("got %v: %s", err, out)
	}
}
