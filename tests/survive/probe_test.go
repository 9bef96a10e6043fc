package survive

import (
	"fmt"
	"os"
	"regexp"
	"strconv"
	"testing"

	"filippo.io/age/plugin"
	"golang.org/x/sys/unix"

	"github.com/secretfs/secretfs/tests/harness"
)

// A probe is a folder with the plugin, and where that leaves its traces.
type probe struct{ dir string }

func newProbe(t *testing.T) probe { return probe{pluginFolder(t)} }

func (p probe) identity(name string) string {
	return plugin.EncodeIdentity(pluginName, []byte(p.dir+"/"+name)) + "\n"
}

func (p probe) hold(t *testing.T) { write(t, p.dir+"/hold", "") }

func (p probe) release() { os.Remove(p.dir + "/hold") }

// pid of what a trace was left by, 0 before.
func (p probe) pid(name string) (pid int) {
	b, _ := os.ReadFile(p.dir + "/" + name + ".status")
	if m := regexp.MustCompile(`(?m)^Pid:\s*(\d+)$`).FindSubmatch(b); m != nil {
		pid, _ = strconv.Atoi(string(m[1]))
	}
	return pid
}

// mounted mounts a file for the plugin, with settings besides those of it.
func (p probe) mounted(t *testing.T, o harness.Options, settings string) *harness.Mount {
	t.Helper()
	o.Plain, o.NoMount, o.Policy = "x: y\n", true, "secrets:\n  a: {backend: main}\n"
	o.Head = fmt.Sprintf("backends:\n  main: {type: sops, file: secrets.yaml, timeout: 25s, age: {key_files: [keys.txt], plugins_path: %s}%s}\n", p.dir, settings)
	m := harness.New(t, o)
	encryptedForPlugin(t, m, p.dir)
	write(t, m.Keys, p.identity("trace"))
	return m
}

// child is what the plugin has started, 0 before.
func (p probe) child() int {
	b, _ := os.ReadFile(p.dir + "/trace.child")
	pid, _ := strconv.Atoi(string(b))
	return pid
}

// A read is what came of one.
type read struct {
	text string
	err  error
}

func readLater(m *harness.Mount, name string) <-chan read {
	result := make(chan read, 1)
	go func() {
		b, err := os.ReadFile(m.Path(name))
		result <- read{string(b), err}
	}()
	return result
}

// errorOf reads and gives the sentence for the error, and the errno.
func errorOf(t *testing.T, m *harness.Mount, name string) (string, error) {
	t.Helper()
	_, err := os.ReadFile(m.Path(name))
	buf := make([]byte, 4096)
	n, xerr := unix.Getxattr(m.Path(name), "user.secretfs.error", buf)
	if xerr != nil {
		t.Errorf("getxattr: %v", xerr)
		return "", err
	}
	return string(buf[:n]), err
}

// runs is false for a zombie: who reaps it, is not ours to say.
func runs(pid int) bool {
	cmdline, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	return len(cmdline) > 0
}
