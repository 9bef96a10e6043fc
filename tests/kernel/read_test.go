package kernel

import (
	"testing"

	"github.com/secretfs/secretfs/tests/harness"
)

func TestReadAcrossRotationAndKill(t *testing.T) {
	m := harness.New(t, harness.Options{Plain: "a: one\n"})
	if got := m.Read("a"); got != "one" {
		t.Fatalf("got %q", got)
	}
	m.Rotate("a: second\n", "a", "second")
	m.KillWorker()
	if got := m.Read("a"); got != "second" {
		t.Fatalf("got %q", got)
	}
}
