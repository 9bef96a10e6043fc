package kernel

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// metadata is what is known of secrets without reading them.
var metadata = map[string]check{
	"find":                  finds,
	"ls -lR":                lists,
	"du":                    diskUsage,
	"sizes and kinds":       sizes,
	"link counts":           links,
	"inode numbers":         inodes,
	"readdir d_type, d_ino": dirEntries,
	"statfs and df":         statfs,
	"access":                access,
	"extended attributes":   attributes,
	"times":                 times,
}

func itoa(n int) string { return strconv.Itoa(n) }

// dirs are the directories of a site.
var dirs = []string{".", "a", "a/deep", "a/deep/er", "formats", "list"}

func (s *site) stat(t *testing.T, path string) unix.Stat_t {
	t.Helper()
	var st unix.Stat_t
	if err := unix.Lstat(s.Path(path), &st); err != nil {
		t.Fatalf("lstat %s: %v", path, err)
	}
	return st
}

func finds(t *testing.T, s *site) {
	out, err := exec.Command("find", s.Dir, "-type", "f", "-printf", `%P %s\n`).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	got := strings.Split(strings.TrimSpace(string(out)), "\n")
	var want []string
	for path, value := range s.values {
		want = append(want, path+" "+itoa(len(value)))
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("got %q\nwant %q", got, want)
	}
	if out, err = exec.Command("find", s.Dir, "-type", "d").CombinedOutput(); err != nil || strings.Count(string(out), "\n") != len(dirs) {
		t.Errorf("directories: %v: %s", err, out)
	}
}

func lists(t *testing.T, s *site) {
	out, err := exec.Command("ls", "-lR", "--time-style=+", s.Dir).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for path, value := range s.values {
		mode := "-r--------"
		if path == "script" {
			mode = "-r-x------"
		}
		found := slices.ContainsFunc(strings.Split(string(out), "\n"), func(line string) bool {
			f := strings.Fields(line)
			return len(f) == 6 && f[0] == mode && f[1] == "1" && f[4] == itoa(len(value)) && f[5] == filepath.Base(path)
		})
		if !found {
			t.Errorf("no line for %s of %d bytes in\n%s", path, len(value), out)
		}
	}
}

func diskUsage(t *testing.T, s *site) {
	out, err := exec.Command("du", "-s", "--apparent-size", "-B1", s.Path("big")).CombinedOutput()
	if err != nil || !strings.HasPrefix(string(out), itoa(bigSize)+"\t") {
		t.Errorf("%v: %s", err, out)
	}
	if out, err := exec.Command("du", "-a", s.Dir).CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
}

func sizes(t *testing.T, s *site) {
	for path, value := range s.values {
		st := s.stat(t, path)
		mode := uint32(unix.S_IFREG | 0o400)
		if path == "script" {
			mode = unix.S_IFREG | 0o500
		}
		if st.Size != int64(len(value)) || st.Mode != mode || st.Nlink != 1 || int(st.Uid) != os.Getuid() || int(st.Gid) != os.Getgid() {
			t.Errorf("%s: size %d mode %o links %d owner %d:%d, want %d bytes and %o", path, st.Size, st.Mode, st.Nlink, st.Uid, st.Gid, len(value), mode)
		}
	}
	for _, dir := range dirs {
		if st := s.stat(t, dir); st.Mode != unix.S_IFDIR|0o755 {
			t.Errorf("%s: mode %o", dir, st.Mode)
		}
	}
}

// links: a directory is named by its parent, by ".", and by ".." of each
// directory in it.
func links(t *testing.T, s *site) {
	for _, dir := range dirs {
		entries, err := os.ReadDir(s.Path(dir))
		if err != nil {
			t.Fatal(err)
		}
		want := uint64(2)
		for _, e := range entries {
			if e.IsDir() {
				want++
			}
		}
		if st := s.stat(t, dir); uint64(st.Nlink) != want {
			t.Errorf("%s: %d links, want %d", dir, st.Nlink, want)
		}
	}
}

func inodes(t *testing.T, s *site) {
	seen := make(map[uint64]string)
	for round := range 2 {
		for path := range s.values {
			ino := s.stat(t, path).Ino
			if other, ok := seen[ino]; ok && other != path {
				t.Errorf("%s and %s have inode %d", path, other, ino)
			}
			if round == 1 && seen[ino] != path {
				t.Errorf("%s has another inode than before", path)
			}
			seen[ino] = path
			f := s.open(t, path, os.O_RDONLY)
			var st unix.Stat_t
			if err := unix.Fstat(int(f.Fd()), &st); err != nil || st.Ino != ino || st.Size != int64(len(s.values[path])) {
				t.Errorf("fstat of %s: %v, inode %d, %d bytes", path, err, st.Ino, st.Size)
			}
			f.Close()
		}
	}
}

func dirEntries(t *testing.T, s *site) {
	err := filepath.WalkDir(s.Dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := os.Lstat(path)
		if err == nil && info.Mode().Type() != d.Type() {
			t.Errorf("%s is a %v, listed as %v", path, info.Mode().Type(), d.Type())
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

func statfs(t *testing.T, s *site) {
	var st unix.Statfs_t
	if err := unix.Statfs(s.Dir, &st); err != nil {
		t.Fatal(err)
	}
	if st.Type != unix.FUSE_SUPER_MAGIC || st.Namelen != 255 || st.Bsize <= 0 || st.Bavail != 0 {
		t.Errorf("got %+v", st)
	}
	out, err := exec.Command("df", "-a", s.Dir).CombinedOutput()
	if err != nil || !strings.Contains(string(out), s.Dir) {
		t.Errorf("df: %v: %s", err, out)
	}
}

func access(t *testing.T, s *site) {
	for _, c := range []struct {
		path string
		mode uint32
		want error
	}{
		{"text", unix.F_OK, nil},
		{"text", unix.R_OK, nil},
		{"text", unix.X_OK, unix.EACCES},
		{"text", unix.W_OK, unix.EROFS},
		{"script", unix.R_OK | unix.X_OK, nil},
		{"a/deep", unix.R_OK | unix.X_OK, nil},
		{"a/deep", unix.W_OK, unix.EROFS},
		{"nothing", unix.F_OK, unix.ENOENT},
	} {
		for _, flags := range []int{0, unix.AT_EACCESS} {
			if err := unix.Faccessat(unix.AT_FDCWD, s.Path(c.path), c.mode, flags); !errors.Is(err, c.want) {
				t.Errorf("access %s %o (flags %#x): got %v, want %v", c.path, c.mode, flags, err, c.want)
			}
		}
	}
	if err := os.Chdir(s.Path("a/deep")); err != nil {
		t.Fatal(err)
	}
	defer os.Chdir("/")
	if _, err := os.Stat("er/secret"); err != nil {
		t.Error(err)
	}
}

func attribute(path, name string) (string, error) {
	b := make([]byte, 4096)
	n, err := unix.Getxattr(path, "user.secretfs."+name, b)
	if err != nil {
		return "", err
	}
	return string(b[:n]), nil
}

func attributes(t *testing.T, s *site) {
	for path, want := range map[string]string{"text": "main", "formats/ini": "ini", "list/1": "main"} {
		if got, err := attribute(s.Path(path), "backend"); got != want || err != nil {
			t.Errorf("backend of %s: got %q, %v, want %q", path, got, err, want)
		}
		if got, err := attribute(s.Path(path), "version"); got == "" || err != nil {
			t.Errorf("version of %s: got %q, %v", path, got, err)
		}
		if got, err := attribute(s.Path(path), "error"); err != unix.ENODATA {
			t.Errorf("error of %s: got %q, %v, want ENODATA", path, got, err)
		}
	}
	names := make([]byte, 200)
	n, err := unix.Listxattr(s.Path("text"), names)
	if want := "user.secretfs.backend\x00user.secretfs.version\x00"; err != nil || string(names[:n]) != want {
		t.Errorf("names: got %q, %v", names[:max(n, 0)], err)
	}
	if n, err := unix.Getxattr(s.Path("text"), "user.secretfs.backend", nil); n != 4 || err != nil {
		t.Errorf("asking for the length: got %d, %v", n, err)
	}
	if _, err := unix.Getxattr(s.Path("text"), "user.secretfs.version", make([]byte, 1)); err != unix.ERANGE {
		t.Errorf("a short buffer: got %v, want ERANGE", err)
	}
	for _, name := range []string{"security.selinux", "security.capability", "system.posix_acl_access", "trusted.overlay.opaque", "user.secretfs.value"} {
		if _, err := unix.Getxattr(s.Path("text"), name, nil); err != unix.ENODATA && err != unix.EOPNOTSUPP {
			t.Errorf("%s: got %v", name, err)
		}
	}
	if n, err := unix.Listxattr(s.Path("a"), names); n != 0 || err != nil {
		t.Errorf("names of a directory: got %d bytes, %v", n, err)
	}
}

// times do not change by being looked at or read.
func times(t *testing.T, s *site) {
	first := s.stat(t, "lines")
	s.Read("lines")
	if again := s.stat(t, "lines"); again.Mtim != first.Mtim || again.Ctim != first.Ctim || first.Mtim.Sec == 0 {
		t.Errorf("got %v, %v, before %v, %v", again.Mtim, again.Ctim, first.Mtim, first.Ctim)
	}
}
