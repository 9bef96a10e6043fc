package caller

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"sync"
	"unsafe"

	"github.com/secretfs/secretfs/policy"
	"golang.org/x/sys/unix"
)

// A Proc is a mounted proc(5) to look callers up in. It is safe for concurrent
// use. Units are told from paths relative to the reader's cgroup namespace, so
// that must be the one of the service manager.
type Proc struct {
	root   int
	userNS string // the reader's own, as the target of ns/user
	pidNS  string
	tasks  sync.Pool
}

// Open opens the proc(5) at dir, which is /proc but for tests.
func Open(dir string) (*Proc, error) {
	userNS, err1 := os.Readlink("/proc/self/ns/user")
	pidNS, err2 := os.Readlink("/proc/self/ns/pid")
	if err := errors.Join(err1, err2); err != nil {
		return nil, fmt.Errorf("opening proc: %w", err)
	}
	root, err := unix.Open(dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("opening proc %s: %w", dir, err)
	}
	p := &Proc{root: root, userNS: userNS, pidNS: pidNS}
	p.tasks.New = func() any { return &task{proc: p, buf: make([]byte, 8192)} }
	return p, nil
}

// Close closes the descriptor. No Lookup may be running.
func (p *Proc) Close() error { return unix.Close(p.root) }

// A task is an open /proc/TID with a buffer to read into. What its methods
// return is valid until the next one.
type task struct {
	proc *Proc
	fd   int
	buf  []byte
}

// The entries of /proc/TID, with the NUL that the kernel wants: a look-up makes
// no garbage for names.
var (
	fileStatus = []byte("status\x00")
	fileCgroup = []byte("cgroup\x00")
	fileUIDMap = []byte("uid_map\x00")
	fileGIDMap = []byte("gid_map\x00")
	linkExe    = []byte("exe\x00")
	linkUserNS = []byte("ns/user\x00")
	linkPIDNS  = []byte("ns/pid\x00")
)

func (p *Proc) open(tid uint32) (*task, error) {
	t := p.tasks.Get().(*task)
	name := append(strconv.AppendUint(t.buf[:0], uint64(tid), 10), 0)
	fd, err := openat(p.root, name, unix.O_PATH|unix.O_DIRECTORY)
	if err != nil {
		p.tasks.Put(t)
		return nil, err
	}
	t.fd = fd
	return t, nil
}

func (t *task) close() {
	_ = unix.Close(t.fd) // of a descriptor that nothing was written to
	t.proc.tasks.Put(t)
}

// shortRead is when a read has come to the end of a file: one of proc(5) fills
// a page but for a record that did not fit, and where there is more than one
// record (uid_map) they have 33 bytes.
const shortRead = 4096 - 512

// read reads the whole file. status has a line of up to 65,536 groups.
func (t *task) read(name []byte) ([]byte, error) {
	fd, err := openat(t.fd, name, unix.O_RDONLY)
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	for n := 0; ; {
		if n == len(t.buf) {
			t.buf = append(t.buf, make([]byte, len(t.buf))...)
		}
		got, err := unix.Read(fd, t.buf[n:])
		if err != nil {
			return nil, goneOr(err)
		}
		if n += got; got < shortRead {
			return t.buf[:n], nil
		}
	}
}

// readlink returns a target, which the kernel keeps below a page.
func (t *task) readlink(name []byte) ([]byte, error) {
	n, _, errno := unix.Syscall6(unix.SYS_READLINKAT, uintptr(t.fd),
		uintptr(unsafe.Pointer(&name[0])), uintptr(unsafe.Pointer(&t.buf[0])), uintptr(len(t.buf)), 0, 0)
	if errno != 0 {
		return nil, goneOr(errno)
	}
	return t.buf[:n], nil
}

// shares says whether a link to a namespace is the given one.
func (t *task) shares(name []byte, ns string) bool {
	target, err := t.readlink(name)
	return err == nil && string(target) == ns
}

// leads says whether tid is the first thread of its process, and so the
// process id. tgkill(2) tells for a tenth of what reading status costs: it
// fails with ESRCH where the thread is of another process, before it asks
// whether signal 0, which is none, may be sent.
func (t *task) leads(tid uint32) bool {
	_, _, errno := unix.RawSyscall(unix.SYS_TGKILL, uintptr(tid), uintptr(tid), 0)
	return errno == 0 || errno == unix.EPERM
}

// stat follows the link. It takes what the kernel has in memory: the
// executable may lie on a network filesystem whose server does not answer.
func (t *task) stat(name []byte) (policy.FileID, error) {
	var st unix.Statx_t
	_, _, errno := unix.Syscall6(unix.SYS_STATX, uintptr(t.fd), uintptr(unsafe.Pointer(&name[0])),
		unix.AT_STATX_DONT_SYNC, unix.STATX_INO, uintptr(unsafe.Pointer(&st)), 0)
	if errno != 0 {
		return policy.FileID{}, goneOr(errno)
	}
	return policy.FileID{Dev: unix.Mkdev(st.Dev_major, st.Dev_minor), Ino: st.Ino}, nil
}

func openat(dir int, name []byte, flags int) (int, error) {
	fd, _, errno := unix.Syscall6(unix.SYS_OPENAT, uintptr(dir),
		uintptr(unsafe.Pointer(&name[0])), uintptr(flags|unix.O_CLOEXEC), 0, 0, 0)
	if errno != 0 {
		return -1, goneOr(errno)
	}
	return int(fd), nil
}

// goneOr tells a task that is gone from other errors. Which of the two errnos
// comes depends on how far the kernel had got.
func goneOr(err error) error {
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ESRCH) {
		return ErrGone
	}
	return err
}
