package systemd

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/secretfs/secretfs/tests/harness"
)

// TestPowerOff boots a machine of its own, enables secretfs and a consumer that
// stands in the mount, has a file of it open and reads at its own stop, and
// powers off.
func TestPowerOff(t *testing.T) {
	boot(t) // or skip
	own, err := newMachine(harness.Program(t))
	t.Cleanup(func() {
		if own != nil {
			os.RemoveAll(own.dir)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	s := startedOn(t, own, "last", options{plain: "a: one\n", secrets: "secrets:\n  a: {backend: main}\n"})
	s.unit(t, "leaver.service", fmt.Sprintf("[Unit]\nAfter=last.service\n[Service]\nExecStart=/bin/sh -c 'cd %[1]s && exec sleep 1000 3<a'\nExecStop=/bin/sh -c 'cat %[1]s/a >%[2]s'\n",
		s.dir, s.in("goodbye")))
	s.start(t, "leaver.service")
	if out, err := own.script("off"); err != nil {
		t.Errorf("powering off: %v\n%s", err, out)
	}
	own.init = 0
	if got := s.read("last/goodbye"); got != "one" {
		t.Errorf("a reader at power-off got %q", got)
	}
	console := own.read("machine/console")
	if console == "" {
		t.Error("the console is empty")
	}
	for line := range strings.Lines(console) {
		if strings.Contains(line, "Failed") || strings.Contains(line, "timed out") {
			t.Errorf("the console says: %s", line)
		}
	}
	stderr := s.read("last/stderr")
	if strings.Contains(stderr, "level=ERROR") || strings.Contains(stderr, "replacing") {
		t.Errorf("secretfs said:\n%s", stderr)
	}
}
