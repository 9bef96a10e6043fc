package survive

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/secretfs/secretfs/tests/harness"
)

// confined checks what holds for every helper: no rights but caps, and limits.
func confined(t *testing.T, proc, caps string) {
	t.Helper()
	want := map[string]string{"CapEff": caps, "CapPrm": caps, "CapInh": caps, "CapBnd": caps, "CapAmb": caps, "NoNewPrivs": "1"}
	if os.Geteuid() != 0 {
		delete(want, "CapBnd") // takes a capability to change
	}
	for name, want := range want {
		if got := field(t, proc, name); got != want {
			t.Errorf("%s: %s is %s, want %s", proc, name, got, want)
		}
	}
	limits, err := os.ReadFile(proc + "/limits")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"Max core file size +0 +0 ", "Max open files +1024 +1024 ", "Max data size +2147483648 +2147483648 ", `Max cpu time +\d+ +\d+ `} {
		if !regexp.MustCompile("(?m)^" + want).Match(limits) {
			t.Errorf("%s: no limit %q:\n%s", proc, want, limits)
		}
	}
}

const noCaps = "0000000000000000"

// onlySocket checks that a helper has inherited no descriptor but the standard
// ones and its socket.
func onlySocket(t *testing.T, proc string) {
	t.Helper()
	fds, err := os.ReadDir(proc + "/fd")
	if err != nil {
		t.Fatal(err)
	}
	for _, fd := range fds {
		target, _ := os.Readlink(proc + "/fd/" + fd.Name())
		n, _ := strconv.Atoi(fd.Name())
		// The rest is what the Go runtime opens itself.
		own := slices.ContainsFunc([]string{"anon_inode:", "socket:", "pipe:", "/sys/fs/cgroup/"}, func(prefix string) bool {
			return strings.HasPrefix(target, prefix)
		})
		if n > 2 && !own {
			t.Errorf("%s has descriptor %d: %s", proc, n, target)
		}
	}
}

// childNamed is a child process with that program's name, 0 if there is none.
func childNamed(t *testing.T, parent int, name string) int {
	t.Helper()
	all, err := filepath.Glob("/proc/[0-9]*/status")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range all {
		b, _ := os.ReadFile(path) // may have ended
		pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(path)))
		if strings.HasPrefix(string(b), "Name:\t"+name+"\n") && strings.Contains(string(b), fmt.Sprintf("\nPPid:\t%d\n", parent)) {
			return pid
		}
	}
	return 0
}

// TestPluginIsConfined reads what the kernel says of a plugin and of the helper
// that runs it, while it runs.
func TestPluginIsConfined(t *testing.T) {
	harness.Matrix(t, func(t *testing.T) {
		for _, name := range []string{"AWS_SECRET_ACCESS_KEY", "VAULT_TOKEN", "SOPS_AGE_KEY", "AGEDEBUG", "WHATEVER"} {
			t.Setenv(name, "n0t for plugins")
		}
		t.Setenv("AGE_PLUGIN_SURVIVE", "for plugins")
		p := newProbe(t)
		// The shell leaves a descriptor to the holder, as careless parents do.
		m := p.mounted(t, harness.Options{Wrap: []string{"sh", "-c", `exec 9</etc/passwd; exec "$@"`, "sh"}}, "")
		m.Mount()
		p.hold(t)
		defer p.release()
		got := readLater(m, "a")
		harness.Eventually(t, "the plugin runs", func() bool { return p.pid("trace") != 0 })
		proc := fmt.Sprintf("/proc/%d", p.pid("trace"))
		confined(t, proc, noCaps)
		if want := fmt.Sprintf("%d\t%[1]d\t%[1]d\t%[1]d", os.Geteuid()); field(t, proc, "Uid") != want {
			t.Errorf("the plugin's uids are %s, want %s", field(t, proc, "Uid"), want)
		}
		environ, err := os.ReadFile(p.dir + "/trace.environ")
		if err != nil || strings.Contains(string(environ), "n0t for plugins") || !strings.Contains(string(environ), "AGE_PLUGIN_SURVIVE=") || !strings.Contains(string(environ), "PATH=") {
			t.Errorf("the plugin's environment: %v\n%q", err, environ)
		}
		if os.Geteuid() == 0 {
			helper := "/proc/" + field(t, proc, "PPid")
			confined(t, helper, noCaps)
			onlySocket(t, helper)
			if held, err := os.Readlink(fmt.Sprintf("/proc/%d/fd/9", m.Status().HolderPID)); held != "/etc/passwd" {
				t.Errorf("the holder has %q, %v as descriptor 9: this test proves nothing", held, err)
			}
			mounts, err := os.ReadFile(p.dir + "/trace.mountinfo")
			if err != nil || len(mounts) == 0 || strings.Contains(string(mounts), m.Dir) {
				t.Errorf("the plugin's mounts: %v\n%s", err, mounts)
			}
		}
		p.release()
		if r := <-got; r.err != nil || r.text != "helped" {
			t.Errorf("got %q, %v", r.text, r.err)
		}
	})
}

// TestPluginRunsAsOwner: what a user has written is input of a process of that
// user. The policy can name another.
func TestPluginRunsAsOwner(t *testing.T) {
	harness.NeedRoot(t)
	u := harness.OrdinaryUser(t)
	for settings, want := range map[string]int{
		"":                                  int(u.UID),
		", helpers: {user: 1234567}":        1234567,
		", helpers: {user: " + u.Name + "}": int(u.UID),
	} {
		p := newProbe(t)
		m := p.mounted(t, harness.Options{}, settings)
		if err := os.Chown(m.Keys, int(u.UID), int(u.GID)); err != nil {
			t.Fatal(err)
		}
		m.Mount()
		if got := m.Read("a"); got != "helped" {
			t.Errorf("%q: got %q", settings, got)
		}
		status, err := os.ReadFile(p.dir + "/trace.status")
		if err != nil || !strings.Contains(string(status), fmt.Sprintf("Uid:\t%d\t%[1]d\t%[1]d\t%[1]d\n", want)) || !strings.Contains(string(status), "CapBnd:\t"+noCaps) {
			t.Errorf("%q: want uid %d without capabilities: %v\n%s", settings, want, err, status)
		}
		environ, err := os.ReadFile(p.dir + "/trace.environ")
		if err != nil || want == int(u.UID) != strings.Contains(string(environ), "USER="+u.Name+"\x00") {
			t.Errorf("%q: the environment: %v\n%q", settings, err, environ)
		}
	}
}

func TestHelperOfUnknownUser(t *testing.T) {
	harness.NeedRoot(t)
	m := newProbe(t).mounted(t, harness.Options{}, ", helpers: {user: nosuchuser}")
	m.Mount()
	why, err := errorOf(t, m, "a")
	if !errors.Is(err, unix.EHOSTUNREACH) || !strings.Contains(why, `starting a helper: no user "nosuchuser" in /etc/passwd`) {
		t.Errorf("got %v, %q", err, why)
	}
}

// TestGPGOfAnotherUser: gpg runs as the owner of its home, who the files in it
// belong to afterwards.
func TestGPGOfAnotherUser(t *testing.T) {
	harness.NeedRoot(t)
	u := harness.OrdinaryUser(t)
	home, fingerprint := gpgHome(t, u)
	helped(t, "gnupg: {home: "+home+"}", func(m *harness.Mount) {
		encryptedFor(t, m, []string{"GNUPGHOME=" + home}, "--pgp", fingerprint)
		// sops, which is root here, has left files of root's.
		err := filepath.Walk(home, func(path string, _ os.FileInfo, err error) error {
			return errors.Join(err, os.Lchown(path, int(u.UID), int(u.GID)))
		})
		if err != nil {
			t.Fatal(err)
		}
	})
	err := filepath.Walk(home, func(path string, info os.FileInfo, err error) error {
		var s unix.Stat_t
		if err == nil {
			err = unix.Lstat(path, &s)
		}
		if err == nil && s.Uid != u.UID {
			t.Errorf("%s belongs to uid %d", path, s.Uid)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
