package kernel

import (
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// calls read secrets by every system call that can.
var calls = map[string]check{
	"pread past the end":     preadPastEnd,
	"odd sizes and offsets":  oddOffsets,
	"two readers of one fd":  twoReaders,
	"seek":                   seek,
	"dup and fork":           dupAndFork,
	"readv":                  vectors,
	"mmap private":           mapsWhole(unix.MAP_PRIVATE, unix.PROT_READ),
	"mmap private, written":  mapsWritten,
	"mmap shared":            mapsWhole(unix.MAP_SHARED, unix.PROT_READ),
	"mmap shared, writable":  mapsSharedWritable,
	"sendfile":               sendfile,
	"splice":                 splice,
	"copy_file_range":        copyRange,
	"direct":                 direct,
	"O_NOATIME":              noatime,
	"O_PATH":                 opath,
	"O_NONBLOCK and O_ASYNC": nonblock,
	"fadvise and readahead":  fadvise,
	"flock":                  flock,
	"fcntl locks":            fcntlLocks,
	"ioctl":                  ioctl,
	"io_uring":               uring,
	"openat2":                openat2,
	"O_DIRECTORY of a file":  notDirectory,
}

func preadPastEnd(t *testing.T, s *site) {
	for path, want := range s.values {
		f := s.open(t, path, os.O_RDONLY)
		b := make([]byte, 64)
		for _, at := range []int64{int64(len(want)), int64(len(want)) + 1, 1 << 40} {
			if n, err := unix.Pread(int(f.Fd()), b, at); n != 0 || err != nil {
				t.Errorf("%s at %d: got %d bytes, %v", path, at, n, err)
			}
		}
		at := max(0, len(want)-10)
		n, err := unix.Pread(int(f.Fd()), b, int64(at))
		if err != nil || !bytes.Equal(b[:n], want[at:]) {
			t.Errorf("%s at %d: got %q, %v", path, at, b[:max(n, 0)], err)
		}
	}
}

func oddOffsets(t *testing.T, s *site) {
	f, want := s.open(t, "big", os.O_RDONLY), s.values["big"]
	for _, at := range []int{0, 1, 4095, 4096, 4097, 131071, 131073, bigSize - 70000} {
		for _, size := range []int{1, 4095, 4097, 65537, 131072, 300001} {
			b := make([]byte, size)
			n, err := f.ReadAt(b, int64(at))
			end := min(at+size, bigSize)
			if !bytes.Equal(b[:n], want[at:end]) || err != nil && err != io.EOF {
				t.Errorf("%d bytes at %d: got %d that differ, %v", size, at, n, err)
			}
		}
	}
}

func twoReaders(t *testing.T, s *site) {
	f := s.open(t, "big", os.O_RDONLY)
	var parts [2]map[int64][]byte
	var both sync.WaitGroup
	for i := range parts {
		parts[i] = make(map[int64][]byte)
		both.Go(func() {
			for at := int64(i) * 5000; at < bigSize; at += 10000 {
				b := make([]byte, min(5000, bigSize-at))
				if _, err := f.ReadAt(b, at); err != nil {
					t.Error(err)
				}
				parts[i][at] = b
			}
		})
	}
	both.Wait()
	whole := make([]byte, bigSize)
	for _, part := range parts {
		for at, b := range part {
			copy(whole[at:], b)
		}
	}
	s.is(t, "big", whole)
}

func seek(t *testing.T, s *site) {
	for path, want := range s.values {
		f := s.open(t, path, os.O_RDONLY)
		for _, c := range []struct {
			offset int64
			whence int
			want   int
		}{{0, io.SeekEnd, len(want)}, {0, io.SeekStart, 0}, {int64(len(want) / 2), io.SeekStart, len(want) / 2}, {-int64(len(want) / 3), io.SeekEnd, len(want) - len(want)/3}} {
			at, err := f.Seek(c.offset, c.whence)
			if err != nil || at != int64(c.want) {
				t.Fatalf("%s: seek %d, %d: got %d, %v, want %d", path, c.offset, c.whence, at, err, c.want)
			}
			got, err := io.ReadAll(f)
			if err != nil || !bytes.Equal(got, want[c.want:]) {
				t.Errorf("%s from %d: got %d bytes, %v", path, at, len(got), err)
			}
		}
		if len(want) == 0 {
			continue
		}
		// lseek(2): without holes data begins at once and ends at the end.
		if at, err := unix.Seek(int(f.Fd()), 0, unix.SEEK_HOLE); err != nil || at != int64(len(want)) {
			t.Errorf("%s: SEEK_HOLE: got %d, %v", path, at, err)
		}
	}
}

// dupAndFork reads one description by turns through two descriptors and a
// child process.
func dupAndFork(t *testing.T, s *site) {
	f := s.open(t, "big", os.O_RDONLY)
	fd, err := unix.Dup(int(f.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	second := os.NewFile(uintptr(fd), "dup")
	defer second.Close()
	var whole bytes.Buffer
	for i := 0; whole.Len() < bigSize; i++ {
		switch i % 3 {
		case 0:
			_, err = io.CopyN(&whole, f, 100_000)
		case 1:
			_, err = io.CopyN(&whole, second, 100_000)
		case 2:
			cmd := exec.Command("dd", "bs=50000", "count=2", "status=none")
			cmd.Stdin, cmd.Stdout = f, &whole
			err = cmd.Run()
		}
		if err != nil && err != io.EOF {
			t.Fatal(err)
		}
	}
	s.is(t, "big", whole.Bytes())
}

func vectors(t *testing.T, s *site) {
	f := s.open(t, "big", os.O_RDONLY)
	a, b := make([]byte, 4000), make([]byte, 200_000)
	n, err := unix.Preadv(int(f.Fd()), [][]byte{a, b}, 77)
	if err != nil || !bytes.Equal(append(a, b...)[:n], s.values["big"][77:77+n]) || n < 4000 {
		t.Errorf("got %d bytes, %v", n, err)
	}
}

func direct(t *testing.T, s *site) {
	for path, want := range s.values {
		f := s.open(t, path, os.O_RDONLY|unix.O_DIRECT)
		buf := aligned(len(want) + 4096)
		n, err := io.ReadFull(f, buf)
		if err != io.ErrUnexpectedEOF && err != io.EOF {
			t.Errorf("%s: %v", path, err)
		}
		s.is(t, path, buf[:n])
	}
}

// aligned is a buffer for O_DIRECT: on a page boundary, whole pages long.
func aligned(n int) []byte {
	const page = 4096
	b := make([]byte, (n+page-1)/page*page+page)
	skip := (page - int(uintptr(unsafe.Pointer(&b[0]))%page)) % page
	return b[skip : len(b)-page+skip]
}

func noatime(t *testing.T, s *site) {
	f := s.open(t, "text", os.O_RDONLY|unix.O_NOATIME)
	got, err := io.ReadAll(f)
	if err != nil {
		t.Fatal(err)
	}
	s.is(t, "text", got)
}

func opath(t *testing.T, s *site) {
	f := s.open(t, "text", unix.O_PATH)
	if _, err := f.Read(make([]byte, 1)); !errors.Is(err, unix.EBADF) {
		t.Errorf("reading an O_PATH descriptor: got %v, want EBADF", err)
	}
	got, err := os.ReadFile(procFD(f))
	if err != nil {
		t.Fatal(err)
	}
	s.is(t, "text", got)
}

func procFD(f *os.File) string { return "/proc/self/fd/" + itoa(int(f.Fd())) }

func nonblock(t *testing.T, s *site) {
	f := s.open(t, "text", os.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC|unix.O_NOCTTY|unix.O_NOFOLLOW)
	got, err := io.ReadAll(f)
	if err != nil {
		t.Fatal(err)
	}
	s.is(t, "text", got)
	fds := []unix.PollFd{{Fd: int32(f.Fd()), Events: unix.POLLIN}}
	if n, err := unix.Poll(fds, 0); n != 1 || err != nil || fds[0].Revents&unix.POLLIN == 0 {
		t.Errorf("poll: %d, %v, %#x", n, err, fds[0].Revents)
	}
}

func fadvise(t *testing.T, s *site) {
	f := s.open(t, "big", os.O_RDONLY)
	for _, advice := range []int{unix.FADV_SEQUENTIAL, unix.FADV_WILLNEED, unix.FADV_RANDOM, unix.FADV_DONTNEED} {
		if err := unix.Fadvise(int(f.Fd()), 0, 0, advice); err != nil {
			t.Errorf("advice %d: %v", advice, err)
		}
	}
	if _, _, errno := unix.Syscall(unix.SYS_READAHEAD, f.Fd(), 0, 1<<20); errno != 0 && errno != unix.EINVAL {
		t.Errorf("readahead: %v", errno)
	}
	got, err := io.ReadAll(f)
	if err != nil {
		t.Fatal(err)
	}
	s.is(t, "big", got)
}

func flock(t *testing.T, s *site) {
	a, b := s.open(t, "text", os.O_RDONLY), s.open(t, "text", os.O_RDONLY)
	if err := unix.Flock(int(a.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		t.Fatal(err)
	}
	if err := unix.Flock(int(b.Fd()), unix.LOCK_SH|unix.LOCK_NB); err != unix.EWOULDBLOCK {
		t.Errorf("a second lock: got %v, want EWOULDBLOCK", err)
	}
	if err := unix.Flock(int(a.Fd()), unix.LOCK_UN); err != nil {
		t.Error(err)
	}
	if err := unix.Flock(int(b.Fd()), unix.LOCK_SH|unix.LOCK_NB); err != nil {
		t.Error(err)
	}
}

func fcntlLocks(t *testing.T, s *site) {
	f := s.open(t, "text", os.O_RDONLY)
	lock := unix.Flock_t{Type: unix.F_RDLCK, Whence: io.SeekStart}
	if err := unix.FcntlFlock(f.Fd(), unix.F_SETLK, &lock); err != nil {
		t.Error(err)
	}
	lock.Type = unix.F_UNLCK
	if err := unix.FcntlFlock(f.Fd(), unix.F_SETLK, &lock); err != nil {
		t.Error(err)
	}
}

func ioctl(t *testing.T, s *site) {
	f := s.open(t, "text", os.O_RDONLY)
	if _, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS); err != unix.ENOTTY {
		t.Errorf("isatty: got %v, want ENOTTY", err)
	}
	if n, err := unix.IoctlGetInt(int(f.Fd()), unix.TIOCINQ); err != nil || n != len(s.values["text"]) {
		t.Errorf("FIONREAD: got %d, %v, want %d", n, err, len(s.values["text"]))
	}
}

func openat2(t *testing.T, s *site) {
	dir := s.open(t, "a", unix.O_PATH|unix.O_DIRECTORY)
	for _, resolve := range []uint64{unix.RESOLVE_BENEATH, unix.RESOLVE_IN_ROOT, unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_XDEV} {
		fd, err := unix.Openat2(int(dir.Fd()), "deep/er/secret", &unix.OpenHow{Flags: unix.O_RDONLY, Resolve: resolve})
		if err != nil {
			t.Errorf("resolve %#x: %v", resolve, err)
			continue
		}
		f := os.NewFile(uintptr(fd), "secret")
		got, _ := io.ReadAll(f)
		f.Close()
		s.is(t, "a/deep/er/secret", got)
	}
}

func notDirectory(t *testing.T, s *site) {
	for _, c := range []struct {
		path  string
		flags int
		want  syscall.Errno
	}{{"text", unix.O_DIRECTORY, unix.ENOTDIR}, {"text/below", 0, unix.ENOTDIR}, {"a", unix.O_WRONLY, unix.EISDIR}, {"nothing", 0, unix.ENOENT}, {"a/nothing", 0, unix.ENOENT}, {"list/3", 0, unix.ENOENT}} {
		if _, err := os.OpenFile(s.Path(c.path), c.flags, 0); !errors.Is(err, c.want) {
			t.Errorf("%s: got %v, want %v", c.path, err, c.want)
		}
	}
}
