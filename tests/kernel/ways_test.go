package kernel

import (
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/secretfs/secretfs/tests/harness"
)

// A way is one way to come to a secret, made ready before any rotation.
type way struct {
	// reach makes ready and gives how to open path, which is relative to the
	// mount, in this way.
	reach func(t *testing.T, m *harness.Mount, path string) opener
	// again says that it opens anew what the first handle leads to.
	again func(t *testing.T, first *os.File) ([]byte, error)
	// pinned ways have no name to look up again: while a handle on an older
	// version is open, they get that one.
	pinned bool
	// covered ways lead to another file, mounted on top of the secret.
	covered bool
	root    bool // takes root
}

type opener func() (*os.File, error)

// cover is what a file mounted on top of a secret holds.
const cover = "on top of a secret"

var ways = map[string]way{
	"path":                 {reach: byPath(os.O_RDONLY)},
	"O_DIRECT":             {reach: byPath(os.O_RDONLY | unix.O_DIRECT)},
	"symbolic link":        {reach: bySymlink},
	"openat":               {reach: byDirectory(os.O_RDONLY)},
	"openat of O_PATH":     {reach: byDirectory(unix.O_PATH)},
	"working directory":    {reach: byWorkingDirectory},
	"io_uring":             {reach: byUring(0)},
	"io_uring on a thread": {reach: byUring(uringAsync)},
	"O_PATH reopened":      {reach: byOPath, pinned: true},
	"/proc/self/fd":        {again: procReopened, pinned: true},
	"/dev/stdin":           {again: stdinReopened, pinned: true},
	"bind of directory":    {reach: byBoundDirectory, root: true},
	"bind of file":         {reach: byBoundFile, root: true, pinned: true},
	"overlay":              {reach: byOverlay, root: true, pinned: true},
	"mount on top":         {reach: byMountOnTop, root: true, covered: true},
}

func byPath(flags int) func(*testing.T, *harness.Mount, string) opener {
	return func(_ *testing.T, m *harness.Mount, path string) opener {
		return func() (*os.File, error) { return os.OpenFile(m.Path(path), flags, 0) }
	}
}

func opensAt(path string) opener { return func() (*os.File, error) { return os.Open(path) } }

// fresh is a name beside the mount that nobody uses.
func fresh(t *testing.T, m *harness.Mount) string {
	t.Helper()
	dir, err := os.MkdirTemp(m.Root, "beside-")
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

func bySymlink(t *testing.T, m *harness.Mount, path string) opener {
	link := filepath.Join(fresh(t, m), "link")
	if err := os.Symlink(m.Path(path), link); err != nil {
		t.Fatal(err)
	}
	return opensAt(link)
}

func byDirectory(flags int) func(*testing.T, *harness.Mount, string) opener {
	return func(t *testing.T, m *harness.Mount, path string) opener {
		dir, err := os.OpenFile(m.Path(filepath.Dir(path)), flags|unix.O_DIRECTORY, 0)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { dir.Close() })
		return func() (*os.File, error) {
			fd, err := unix.Openat(int(dir.Fd()), filepath.Base(path), unix.O_RDONLY|unix.O_CLOEXEC, 0)
			for err == unix.EINTR { // as os.Open does: Go's own signals end a wait for a backend too
				fd, err = unix.Openat(int(dir.Fd()), filepath.Base(path), unix.O_RDONLY|unix.O_CLOEXEC, 0)
			}
			if err != nil {
				return nil, err
			}
			return os.NewFile(uintptr(fd), path), nil
		}
	}
}

func byWorkingDirectory(t *testing.T, m *harness.Mount, path string) opener {
	t.Chdir(m.Path(filepath.Dir(path)))
	return opensAt(filepath.Base(path))
}

func byUring(flags uint8) func(*testing.T, *harness.Mount, string) opener {
	return func(t *testing.T, m *harness.Mount, path string) opener {
		r := needRing(t)
		return func() (*os.File, error) { return r.open(m.Path(path), flags) }
	}
}

func byOPath(t *testing.T, m *harness.Mount, path string) opener {
	fd, err := unix.Open(m.Path(path), unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	return opensAt("/proc/self/fd/" + itoa(fd))
}

func procReopened(_ *testing.T, first *os.File) ([]byte, error) { return os.ReadFile(procFD(first)) }

func stdinReopened(_ *testing.T, first *os.File) ([]byte, error) {
	cmd := exec.Command("cat", "/dev/stdin")
	cmd.Stdin = first
	return cmd.Output()
}

// mount mounts until the test ends.
func mount(t *testing.T, source, target, kind string, flags uintptr, options string) {
	t.Helper()
	if err := unix.Mount(source, target, kind, flags, options); err != nil {
		t.Fatalf("mounting %s on %s: %v", source, target, err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(target, unix.MNT_DETACH); err != nil {
			t.Errorf("unmounting %s: %v", target, err)
		}
	})
}

func byBoundDirectory(t *testing.T, m *harness.Mount, path string) opener {
	at := fresh(t, m)
	mount(t, m.Path(filepath.Dir(path)), at, "", unix.MS_BIND, "")
	return opensAt(filepath.Join(at, filepath.Base(path)))
}

func byBoundFile(t *testing.T, m *harness.Mount, path string) opener {
	at := filepath.Join(fresh(t, m), "file")
	put(t, at, "")
	mount(t, m.Path(path), at, "", unix.MS_BIND, "")
	return opensAt(at)
}

func byOverlay(t *testing.T, m *harness.Mount, path string) opener {
	at, empty := fresh(t, m), fresh(t, m)
	mount(t, "overlay", at, "overlay", unix.MS_RDONLY, "lowerdir="+empty+":"+m.Path(filepath.Dir(path)))
	return opensAt(filepath.Join(at, filepath.Base(path)))
}

func byMountOnTop(t *testing.T, m *harness.Mount, path string) opener {
	top := filepath.Join(fresh(t, m), "top")
	put(t, top, cover)
	mount(t, top, m.Path(path), "", unix.MS_BIND, "")
	return opensAt(m.Path(path))
}

// whole reads an open file from its beginning to its end, as O_DIRECT wants it,
// and checks that fstat tells the same length.
func whole(t *testing.T, f *os.File) ([]byte, error) {
	t.Helper()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	buf := aligned(1 << 16)
	n, err := io.ReadFull(io.NewSectionReader(f, 0, int64(len(buf))), buf)
	if err != io.ErrUnexpectedEOF && err != io.EOF {
		return nil, err
	}
	if info.Size() != int64(n) {
		t.Errorf("%s: fstat says %d bytes, read %d", f.Name(), info.Size(), n)
	}
	return buf[:n], nil
}

// TestMountOnTopStays: a mount on top of a secret is not lost when the secret
// itself, seen from elsewhere, rotates while it is open. Elsewhere then shows
// the older version, until it is closed.
func TestMountOnTopStays(t *testing.T) {
	harness.NeedRoot(t)
	plain := func(v int) string {
		return toJSON(t, map[string]any{"d": map[string]string{"a": versionOf("a", v), "b": itoa(v), "c": itoa(v)}})
	}
	m := harness.New(t, harness.Options{Plain: plain(0)})
	elsewhere := byBoundDirectory(t, m, "d/a")
	covered := byMountOnTop(t, m, "d/a")
	hidden := coveredInside(t, m, "d/c")
	reads := func(open opener) string {
		f, err := open()
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		got, err := whole(t, f)
		if err != nil {
			t.Fatal(err)
		}
		return string(got)
	}
	for v := 1; v <= 3; v++ {
		f, err1 := elsewhere()
		c, err2 := os.Open(m.Path("d/c"))
		if err := errors.Join(err1, err2); err != nil {
			t.Fatal(err)
		}
		m.Rotate(plain(v), "d/b", itoa(v))
		for range 3 {
			if got := reads(elsewhere); got != versionOf("a", v-1) {
				t.Errorf("elsewhere: got %.30q, want version %d", got, v-1)
			}
			if got := reads(covered); got != cover {
				t.Errorf("the mount on top shows %.30q", got)
			}
			if got := m.Read("d/c"); got != itoa(v-1) {
				t.Errorf("outside of the namespace: got %q, want %d", got, v-1)
			}
			m.KillWorker()
		}
		f.Close()
		c.Close()
		harness.Eventually(t, "the new version elsewhere", func() bool { return reads(elsewhere) == versionOf("a", v) })
	}
	if got := reads(covered); got != cover {
		t.Errorf("the mount on top shows %.30q", got)
	}
	if got := hidden(); got != cover {
		t.Errorf("in another namespace the mount on top shows %.30q", got)
	}
}

// coveredInside mounts on top of a secret in a mount namespace of its own, as
// InaccessiblePaths= does, and gives what is seen there at the end.
func coveredInside(t *testing.T, m *harness.Mount, path string) (end func() string) {
	t.Helper()
	top := filepath.Join(fresh(t, m), "top")
	put(t, top, cover)
	cmd := exec.Command("unshare", "-m", "sh", "-c", `mount --bind "$1" "$2" && echo ready && read -r _ ; exec cat "$2"`, "sh", top, m.Path(path))
	in, err1 := cmd.StdinPipe()
	out, err2 := cmd.StdoutPipe()
	if err := errors.Join(err1, err2, cmd.Start()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		in.Close()
		_ = cmd.Wait()
	})
	if n, err := io.ReadFull(out, make([]byte, len("ready\n"))); err != nil {
		t.Fatalf("mounting in another namespace: %d, %v", n, err)
	}
	return func() string {
		in.Close()
		b, err := io.ReadAll(out)
		if err != nil {
			t.Error(err)
		}
		return string(b)
	}
}
