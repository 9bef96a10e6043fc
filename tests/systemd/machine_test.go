// Package systemd has the built program run under a real systemd: as a service,
// with consumers of every kind, and through what happens to services.
package systemd

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/secretfs/secretfs/tests/harness"
)

// inside is where a machine sees its folder.
const inside = "/opt/secretfs-test"

// A machine is a booted container.
type machine struct {
	dir  string // its folder, as seen from here
	init int    // its PID 1, as seen from here
	// stale says that units have changed since systemd has read them.
	stale bool
}

var booted struct {
	once sync.Once
	m    *machine
	err  error
}

// boot gives the machine that all tests share.
func boot(t *testing.T) *machine {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("SKIPPED: booting systemd takes root")
	}
	for _, program := range []string{"systemd-nspawn", "nsenter", "unshare"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skipf("SKIPPED: %s is not installed (Debian: systemd-container)", program)
		}
	}
	booted.once.Do(func() {
		booted.m, booted.err = newMachine(harness.Program(t))
	})
	if booted.err != nil {
		t.Fatal(booted.err)
	}
	return booted.m
}

func newMachine(program string) (*machine, error) {
	dir, err := os.MkdirTemp("", "machine")
	if err != nil {
		return nil, err
	}
	m := &machine{dir: dir}
	if err := os.Chmod(dir, 0o755); err != nil {
		return m, err
	}
	for _, name := range []string{"secretfs", "secretfs-keys"} {
		if out, err := exec.Command("cp", filepath.Join(filepath.Dir(program), name), dir).CombinedOutput(); err != nil {
			return m, fmt.Errorf("copying the program: %w: %s", err, out)
		}
	}
	if out, err := m.script("boot"); err != nil {
		return m, fmt.Errorf("booting systemd: %w: %s", err, out)
	}
	out, err := m.script("init")
	if err != nil {
		return m, fmt.Errorf("looking for its PID 1: %w: %s", err, out)
	}
	m.init, err = strconv.Atoi(strings.TrimSpace(out))
	return m, err
}

func (m *machine) script(verb string, args ...string) (string, error) {
	out, err := exec.Command("bash", append([]string{"machine.sh", verb, m.dir}, args...)...).CombinedOutput()
	return string(out), err
}

// run runs a command in the machine.
func (m *machine) run(args ...string) (string, error) { return m.script("exec", args...) }

func (m *machine) must(t *testing.T, args ...string) string {
	t.Helper()
	out, err := m.run(args...)
	if err != nil {
		t.Fatalf("%q: %v\n%s", args, err, out)
	}
	return out
}

// file writes a file of the machine's folder.
func (m *machine) file(t *testing.T, name, text string) {
	t.Helper()
	path := filepath.Join(m.dir, name)
	err := os.MkdirAll(filepath.Dir(path), 0o755)
	if err == nil {
		err = os.WriteFile(path, []byte(text), 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func (m *machine) read(name string) string {
	b, _ := os.ReadFile(filepath.Join(m.dir, name))
	return string(b)
}

// unit makes a unit of the machine, and takes it away at the end of the test.
func (m *machine) unit(t *testing.T, name, text string) {
	t.Helper()
	m.file(t, "units/"+name, text)
	m.stale = true
	t.Cleanup(func() {
		_, _ = m.run("sh", "-c", `systemctl stop "$0"; systemctl reset-failed "$0"`, name)
		os.Remove(filepath.Join(m.dir, "units", name))
		m.stale = true
	})
}

// systemctl runs systemctl, on the units as they are.
func (m *machine) systemctl(args ...string) (string, error) {
	if m.stale {
		m.stale = false
		if out, err := m.run("systemctl", "daemon-reload"); err != nil {
			return out, err
		}
	}
	return m.run(append([]string{"systemctl"}, args...)...)
}

func (m *machine) start(t *testing.T, unit string) {
	t.Helper()
	if out, err := m.systemctl("start", unit); err != nil {
		t.Fatalf("starting %s: %v\n%s", unit, err, out)
	}
}

// show gives one property of a unit.
func (m *machine) show(t *testing.T, unit, property string) string {
	t.Helper()
	return strings.TrimSpace(m.must(t, "systemctl", "show", "--value", "-p", property, unit))
}

// off powers the machine off and says whether that was clean.
func (m *machine) off() error {
	defer os.RemoveAll(m.dir)
	if m.init == 0 {
		return nil
	}
	if out, err := m.script("off"); err != nil {
		return fmt.Errorf("the machine did not power off in time: %w\n%s%s", err, out, m.read("machine/console"))
	}
	return nil
}

func TestMain(m *testing.M) {
	code := m.Run()
	if booted.m != nil {
		if err := booted.m.off(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	os.Exit(code)
}
