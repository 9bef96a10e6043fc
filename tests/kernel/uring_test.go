package kernel

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"sync/atomic"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A ring is an io_uring(7) that has one request under way at a time.
type ring struct {
	fd             int
	sq, cq, sqes   []byte
	params         uringParams
	sqTail, cqTail *uint32
	cqHead         *uint32
}

// struct io_uring_params, io_uring_sqe and io_uring_cqe of linux/io_uring.h.
type (
	uringParams struct {
		sqEntries, cqEntries, flags, sqThreadCPU, sqThreadIdle, features, wqFD uint32
		_                                                                      [3]uint32
		sqOff                                                                  struct {
			head, tail, ringMask, ringEntries, flags, dropped, array, _ uint32
			userAddr                                                    uint64
		}
		cqOff struct {
			head, tail, ringMask, ringEntries, overflow, cqes, flags, _ uint32
			userAddr                                                    uint64
		}
	}
	uringSQE struct {
		opcode, flags uint8
		ioprio        uint16
		fd            int32
		off, addr     uint64
		len, opFlags  uint32
		userData      uint64
		_             [3]uint64
	}
	uringCQE struct {
		userData uint64
		res      int32
		flags    uint32
	}
)

const (
	uringOpenat, uringRead          = 18, 22
	uringOffSQ, uringOffCQ, offSQEs = 0, 0x8000000, 0x10000000
	uringGetEvents                  = 1
	uringAsync                      = 1 << 4 // IOSQE_ASYNC: on a worker thread of the kernel
)

var errNoUring = errors.New("this system allows no io_uring")

func newRing() (r *ring, err error) {
	r = new(ring)
	fd, _, errno := unix.Syscall(unix.SYS_IO_URING_SETUP, 4, uintptr(unsafe.Pointer(&r.params)), 0)
	switch errno {
	case 0:
	case unix.EPERM, unix.ENOSYS:
		return nil, errNoUring
	default:
		return nil, fmt.Errorf("io_uring_setup: %w", errno)
	}
	r.fd = int(fd)
	p := &r.params
	for _, m := range []struct {
		to   *[]byte
		at   int64
		size uint32
	}{
		{&r.sq, uringOffSQ, p.sqOff.array + p.sqEntries*4},
		{&r.cq, uringOffCQ, p.cqOff.cqes + p.cqEntries*uint32(unsafe.Sizeof(uringCQE{}))},
		{&r.sqes, offSQEs, p.sqEntries * uint32(unsafe.Sizeof(uringSQE{}))},
	} {
		if *m.to, err = unix.Mmap(r.fd, m.at, int(m.size), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED|unix.MAP_POPULATE); err != nil {
			r.close()
			return nil, fmt.Errorf("mapping the ring: %w", err)
		}
	}
	r.sqTail = (*uint32)(unsafe.Pointer(&r.sq[p.sqOff.tail]))
	r.cqHead, r.cqTail = (*uint32)(unsafe.Pointer(&r.cq[p.cqOff.head])), (*uint32)(unsafe.Pointer(&r.cq[p.cqOff.tail]))
	return r, nil
}

func (r *ring) close() {
	for _, m := range [][]byte{r.sq, r.cq, r.sqes} {
		if m != nil {
			_ = unix.Munmap(m)
		}
	}
	unix.Close(r.fd)
}

// do submits one request and waits for its result.
func (r *ring) do(e uringSQE) (int, error) {
	tail := atomic.LoadUint32(r.sqTail)
	i := tail & (r.params.sqEntries - 1)
	(*uringSQE)(unsafe.Pointer(&r.sqes[uintptr(i)*unsafe.Sizeof(e)])).set(e)
	*(*uint32)(unsafe.Pointer(&r.sq[r.params.sqOff.array+i*4])) = i
	atomic.StoreUint32(r.sqTail, tail+1)
	for {
		_, _, errno := unix.Syscall6(unix.SYS_IO_URING_ENTER, uintptr(r.fd), 1, 1, uringGetEvents, 0, 0)
		if errno == 0 {
			break
		}
		if errno != unix.EINTR {
			return 0, fmt.Errorf("io_uring_enter: %w", errno)
		}
	}
	head := *r.cqHead
	for atomic.LoadUint32(r.cqTail) == head {
		runtime.Gosched()
	}
	c := (*uringCQE)(unsafe.Pointer(&r.cq[r.params.cqOff.cqes+(head&(r.params.cqEntries-1))*uint32(unsafe.Sizeof(uringCQE{}))]))
	res := c.res
	atomic.StoreUint32(r.cqHead, head+1)
	if res < 0 {
		return 0, unix.Errno(-res)
	}
	return int(res), nil
}

func (e *uringSQE) set(to uringSQE) { *e = to }

// open opens a path for reading.
func (r *ring) open(path string, flags uint8) (*os.File, error) {
	name, err := unix.BytePtrFromString(path)
	if err != nil {
		return nil, err
	}
	at := int32(unix.AT_FDCWD)
	fd, err := r.do(uringSQE{opcode: uringOpenat, flags: flags, fd: at, addr: uint64(uintptr(unsafe.Pointer(name))), opFlags: unix.O_RDONLY | unix.O_CLOEXEC})
	runtime.KeepAlive(name)
	if err != nil {
		return nil, fmt.Errorf("opening %s: %w", path, err)
	}
	return os.NewFile(uintptr(fd), path), nil
}

// read opens a path and reads it whole.
func (r *ring) read(path string, flags uint8) ([]byte, error) {
	f, err := r.open(path, flags)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var whole []byte
	buf := make([]byte, 1<<17)
	for {
		n, err := r.do(uringSQE{opcode: uringRead, flags: flags, fd: int32(f.Fd()), off: uint64(len(whole)), addr: uint64(uintptr(unsafe.Pointer(&buf[0]))), len: uint32(len(buf))})
		if err != nil {
			return nil, fmt.Errorf("reading %s: %w", path, err)
		}
		if n == 0 {
			return whole, nil
		}
		whole = append(whole, buf[:n]...)
	}
}

func needRing(t *testing.T) *ring {
	t.Helper()
	r, err := newRing()
	if errors.Is(err, errNoUring) {
		t.Skipf("SKIPPED: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.close)
	return r
}

func uring(t *testing.T, s *site) {
	r := needRing(t)
	for path := range s.values {
		for _, flags := range []uint8{0, uringAsync} {
			got, err := r.read(s.Path(path), flags)
			if err != nil {
				t.Error(err)
			}
			s.is(t, path, got)
		}
	}
	if _, err := r.read(s.Path("nothing"), 0); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v, want ENOENT", err)
	}
}
