package survive

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/secretfs/secretfs/tests/harness"
)

// nobody is an ordinary user.
const nobody = 65534

func unmounted(t *testing.T, wrap ...string) *harness.Mount {
	t.Helper()
	return harness.New(t, harness.Options{Plain: "a: one\n", NoMount: true, Wrap: wrap})
}

func TestMountPoints(t *testing.T) {
	for _, c := range []struct {
		name    string
		prepare func(m *harness.Mount) error
		want    string // the sentence of a refusal; $DIR is the mount point
	}{
		{"missing", func(*harness.Mount) error { return nil }, ""},
		{"a directory", func(m *harness.Mount) error { return os.Mkdir(m.Dir, 0o700) }, ""},
		{"a directory that is not empty", func(m *harness.Mount) error {
			return errors.Join(os.Mkdir(m.Dir, 0o700), os.WriteFile(m.Dir+"/old", nil, 0o600))
		}, ""},
		{
			"a file", func(m *harness.Mount) error { return os.WriteFile(m.Dir, nil, 0o600) },
			"mounting $DIR: it is a file, expected a directory",
		},
		{"a symlink to a directory", func(m *harness.Mount) error {
			return errors.Join(os.Mkdir(m.Root+"/real", 0o700), os.Symlink("real", m.Dir))
		}, "mounting $DIR: it is a symlink to "},
		{
			"a dangling symlink", func(m *harness.Mount) error { return os.Symlink("nowhere", m.Dir) },
			"mounting $DIR: it is a symlink to nowhere",
		},
		{
			"below a file", func(m *harness.Mount) error { return nil },
			"making the mount point: mkdir ",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := unmounted(t)
			if c.name == "below a file" {
				m.Dir = m.Policy + "/mnt"
				m.WritePolicy(harness.Options{})
			}
			if err := c.prepare(m); err != nil {
				t.Fatal(err)
			}
			out, err := m.TryMount()
			if c.want == "" {
				if err != nil || m.Read("a") != "one" {
					t.Errorf("%v\n%s", err, out)
				}
				return
			}
			var exit *exec.ExitError
			if !errors.As(err, &exit) || exit.ExitCode() != 1 || !strings.Contains(out, strings.ReplaceAll(c.want, "$DIR", m.Dir)) {
				t.Errorf("%v, want exit code 1 and %q:\n%s", err, c.want, out)
			}
			if _, err := os.Stat(m.Control); err == nil {
				t.Error("the control socket is left")
			}
		})
	}
}

func TestHiddenFilesAreSaid(t *testing.T) {
	m := unmounted(t)
	if err := errors.Join(os.Mkdir(m.Dir, 0o700), os.WriteFile(m.Dir+"/old", nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	m.Mount()
	want := m.Dir + " was not empty: what is in it is hidden for as long as it is mounted, and still on the disk"
	if notices := strings.Join(m.Status().Notices, "\n"); !strings.Contains(notices, want) {
		t.Errorf("status says %q, want %q", notices, want)
	}
}

func TestNoDeviceNode(t *testing.T) {
	m := unmounted(t, "unshare", "-m", "sh", "-c", `mount -t tmpfs none /dev && mknod /dev/null c 1 3 && exec "$0" "$@"`)
	out, err := m.TryMount()
	want := "opening /dev/fuse: no such file or directory: load the kernel module fuse, or give the container the device"
	if err == nil || !strings.Contains(out, want) {
		t.Errorf("%v, want %q:\n%s", err, want, out)
	}
}

// belongs gives all files of a mount to an ordinary user.
func belongs(t *testing.T, m *harness.Mount) {
	t.Helper()
	err := filepath.Walk(m.Root, func(path string, _ os.FileInfo, err error) error {
		return errors.Join(err, os.Chown(path, nobody, nobody))
	})
	if err != nil {
		t.Fatal(err)
	}
}

func asNobody(path string) []string {
	return []string{"setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "env", "PATH=" + path, "XDG_RUNTIME_DIR=/nonexistent"}
}

func TestOrdinaryUserWithoutFusermount(t *testing.T) {
	m := unmounted(t, asNobody("/nonexistent")...)
	belongs(t, m)
	out, err := m.TryMount()
	want := "looking for fusermount3, which mounts for ordinary users: not found in PATH"
	if err == nil || !strings.Contains(out, want) {
		t.Errorf("%v, want %q:\n%s", err, want, out)
	}
}
