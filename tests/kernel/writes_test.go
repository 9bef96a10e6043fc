package kernel

import (
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// writes are all the ways to change something. Each is EROFS.
var writes = map[string]check{
	"O_WRONLY":           opens("text", unix.O_WRONLY),
	"O_RDWR":             opens("text", unix.O_RDWR),
	"O_TRUNC":            opens("text", unix.O_RDONLY|unix.O_TRUNC),
	"O_WRONLY O_TRUNC":   opens("text", unix.O_WRONLY|unix.O_TRUNC),
	"O_APPEND":           opens("text", unix.O_WRONLY|unix.O_APPEND),
	"O_CREAT of another": opens("new", unix.O_WRONLY|unix.O_CREAT),
	"O_CREAT O_EXCL":     opens("new", unix.O_RDWR|unix.O_CREAT|unix.O_EXCL),
	"O_CREAT below":      opens("a/new", unix.O_RDONLY|unix.O_CREAT),
	"O_TMPFILE":          opens(".", unix.O_RDWR|unix.O_TMPFILE),
	"write":              writesTo,
	"truncate":           refuses(func(f, _ string) error { return unix.Truncate(f, 0) }),
	"truncate, longer":   refuses(func(f, _ string) error { return unix.Truncate(f, 1<<20) }),
	"chmod":              refuses(func(f, _ string) error { return unix.Chmod(f, 0o777) }),
	"chmod of directory": refuses(func(f, _ string) error { return unix.Chmod(filepath.Dir(f), 0o777) }),
	"chown":              refuses(func(f, _ string) error { return unix.Lchown(f, os.Getuid(), os.Getgid()) }),
	"utimes":             refuses(func(f, _ string) error { return unix.Utimes(f, nil) }),
	"utimensat":          refuses(func(f, _ string) error { return unix.UtimesNano(f, make([]unix.Timespec, 2)) }),
	"unlink":             refuses(func(f, _ string) error { return unix.Unlink(f) }),
	"rmdir":              refuses(func(f, _ string) error { return unix.Rmdir(filepath.Dir(f) + "/list") }),
	"rename":             refuses(func(f, n string) error { return unix.Rename(f, n) }),
	"rename over":        refuses(func(f, _ string) error { return unix.Rename(f, filepath.Dir(f)+"/lines") }),
	"rename exchange": refuses(func(f, _ string) error {
		return unix.Renameat2(unix.AT_FDCWD, f, unix.AT_FDCWD, filepath.Dir(f)+"/lines", unix.RENAME_EXCHANGE)
	}),
	"link":         refuses(func(f, n string) error { return unix.Link(f, n) }),
	"symlink":      refuses(func(_, n string) error { return unix.Symlink("text", n) }),
	"mkdir":        refuses(func(_, n string) error { return unix.Mkdir(n, 0o755) }),
	"mknod":        refuses(func(_, n string) error { return unix.Mknod(n, unix.S_IFREG|0o600, 0) }),
	"mkfifo":       refuses(func(_, n string) error { return unix.Mkfifo(n, 0o600) }),
	"setxattr":     refuses(func(f, _ string) error { return unix.Setxattr(f, "user.secretfs.error", []byte("x"), 0) }),
	"setxattr ACL": refusesAny(func(f, _ string) error { return unix.Setxattr(f, "system.posix_acl_access", minimalACL, 0) }, unix.EOPNOTSUPP),
	"removexattr":  refuses(func(f, _ string) error { return unix.Removexattr(f, "user.secretfs.backend") }),
	"access W_OK":  refuses(func(f, _ string) error { return unix.Access(f, unix.W_OK) }),
	"fd":           byDescriptor,
}

// minimalACL is mode 0400 as an access ACL (linux/posix_acl_xattr.h): version 2,
// then tag, permissions and id of the owner, the group and others.
var minimalACL = []byte("\x02\x00\x00\x00\x01\x00\x04\x00\xff\xff\xff\xff\x04\x00\x00\x00\xff\xff\xff\xff\x20\x00\x00\x00\xff\xff\xff\xff")

func opens(path string, flags int) check {
	return func(t *testing.T, s *site) {
		fd, err := unix.Open(s.Path(path), flags|unix.O_CLOEXEC, 0o600)
		if err != unix.EROFS {
			t.Errorf("got %v, want EROFS", err)
		}
		if err == nil {
			unix.Close(fd)
		}
	}
}

func refuses(change func(file, fresh string) error) check { return refusesAny(change, unix.EROFS) }

// refusesAny also takes another errno, for what this kernel may refuse before
// it looks at the mount.
func refusesAny(change func(file, fresh string) error, also unix.Errno) check {
	return func(t *testing.T, s *site) {
		if err := change(s.Path("text"), s.Path("new")); err != unix.EROFS && err != also {
			t.Errorf("got %v, want EROFS", err)
		}
		s.is(t, "text", []byte(s.Read("text")))
	}
}

// writesTo writes through a descriptor that is open for reading.
func writesTo(t *testing.T, s *site) {
	f := s.open(t, "text", os.O_RDONLY)
	if _, err := unix.Write(int(f.Fd()), []byte("x")); err != unix.EBADF {
		t.Errorf("got %v, want EBADF", err)
	}
}

// byDescriptor changes what a descriptor that is open for reading leads to.
func byDescriptor(t *testing.T, s *site) {
	fd := int(s.open(t, "text", os.O_RDONLY).Fd())
	for name, c := range map[string]struct {
		got, want error
	}{
		"fchmod":       {unix.Fchmod(fd, 0o777), unix.EROFS},
		"fchown":       {unix.Fchown(fd, 0, 0), unix.EROFS},
		"futimens":     {unix.Futimes(fd, make([]unix.Timeval, 2)), unix.EROFS},
		"fsetxattr":    {unix.Fsetxattr(fd, "user.x", []byte("x"), 0), unix.EROFS},
		"fremovexattr": {unix.Fremovexattr(fd, "user.x"), unix.EROFS},
		// open(2), ftruncate(2), fallocate(2): the descriptor itself does not allow it.
		"ftruncate": {unix.Ftruncate(fd, 0), unix.EINVAL},
		"fallocate": {unix.Fallocate(fd, 0, 0, 10), unix.EBADF},
		"fsync":     {unix.Fsync(fd), nil},
		"fdatasync": {unix.Fdatasync(fd), nil},
		"syncfs":    {unix.Syncfs(fd), nil},
	} {
		if c.got != c.want {
			t.Errorf("%s: got %v, want %v", name, c.got, c.want)
		}
	}
}
