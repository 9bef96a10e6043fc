package mount

import (
	"encoding/binary"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

const (
	maxBackground = 64
	maxWrite      = 4096 // nothing is ever written; go-fuse sizes its buffers by it
	maxPages      = 32   // 128 KiB a READ
)

// A Negotiated is what holder and kernel agreed on in INIT. It holds for the
// life of the connection, over every worker and every upgrade.
type Negotiated struct {
	Minor uint32
	Flags uint64
}

// Passthrough says that the kernel can read from backing files by itself.
func (n Negotiated) Passthrough() bool { return n.Flags&flagPassthrough != 0 }

// Resend says that the kernel sends requests again that a dead worker had read
// and not answered (FUSE_NOTIFY_RESEND, Linux 6.9).
func (n Negotiated) Resend() bool { return n.Flags&flagResend != 0 }

// negotiate reads the kernel's INIT and answers it. passthrough says whether
// this process may register backing files (it takes CAP_SYS_ADMIN).
func negotiate(dev *os.File, passthrough bool) (Negotiated, error) {
	buf := make([]byte, 8192+maxWrite)
	n, err := readRetry(int(dev.Fd()), buf)
	if err != nil {
		return Negotiated{}, fmt.Errorf("reading INIT from the kernel: %w", err)
	}
	le := binary.LittleEndian
	if n < sizeInHeader+16 || le.Uint32(buf[4:]) != opInit {
		return Negotiated{}, fmt.Errorf("reading INIT from the kernel: got request %d of %d bytes", le.Uint32(buf[4:]), n)
	}
	in := buf[sizeInHeader:n]
	if major := le.Uint32(in); major != protoMajor {
		return Negotiated{}, fmt.Errorf("reading INIT from the kernel: it speaks FUSE %d, expected %d", major, protoMajor)
	}
	offered := uint64(le.Uint32(in[12:]))
	if offered&flagInitExt != 0 && len(in) >= 20 {
		offered |= uint64(le.Uint32(in[16:])) << 32
	}
	// Without ASYNC_DIO a short read by io_uring repeats what was read: the
	// kernel asks again at the same offset (fs/fuse/file.c fuse_direct_IO).
	want := uint64(flagAsyncRead | flagAsyncDIO | flagAtomicTrunc | flagBigWrites | flagParallelDirOps | flagMaxPages |
		flagInitExt | flagExpireOnly | flagDirectIOAllowMmap | flagResend)
	if passthrough {
		want |= flagPassthrough
	}
	got := Negotiated{Minor: min(le.Uint32(in[4:]), protoMinor), Flags: offered & want}
	reply := initReply(le.Uint64(buf[8:]), le.Uint32(in[8:]), got)
	if _, err := unix.Write(int(dev.Fd()), reply); err != nil {
		return Negotiated{}, fmt.Errorf("answering INIT: %w", err)
	}
	return got, nil
}

func initReply(unique uint64, readahead uint32, n Negotiated) []byte {
	le := binary.LittleEndian
	b := make([]byte, sizeOutHeader+sizeInitOut)
	le.PutUint32(b, uint32(len(b)))
	le.PutUint64(b[8:], unique)
	out := b[sizeOutHeader:]
	le.PutUint32(out, protoMajor)
	le.PutUint32(out[4:], n.Minor)
	le.PutUint32(out[8:], readahead)
	le.PutUint32(out[12:], uint32(n.Flags))
	le.PutUint16(out[16:], maxBackground)
	le.PutUint16(out[18:], maxBackground*3/4)
	le.PutUint32(out[20:], maxWrite)
	le.PutUint32(out[24:], 1) // time granularity, ns
	le.PutUint16(out[28:], maxPages)
	le.PutUint32(out[32:], uint32(n.Flags>>32))
	if n.Passthrough() {
		le.PutUint32(out[36:], 1) // max_stack_depth: backing files lie on tmpfs, which is not stacked
	}
	return b
}

// initRequest is the INIT that a worker's go-fuse server is fed, since the
// real one was answered long ago.
func initRequest(n Negotiated) []byte {
	le := binary.LittleEndian
	b := make([]byte, sizeInHeader+sizeInitIn)
	le.PutUint32(b, uint32(len(b)))
	le.PutUint32(b[4:], opInit)
	le.PutUint64(b[8:], 2)
	in := b[sizeInHeader:]
	le.PutUint32(in, protoMajor)
	le.PutUint32(in[4:], n.Minor)
	le.PutUint32(in[8:], 128<<10)
	le.PutUint32(in[12:], uint32(n.Flags))
	le.PutUint32(in[16:], uint32(n.Flags>>32))
	return b
}

func readRetry(fd int, buf []byte) (int, error) {
	for {
		n, err := unix.Read(fd, buf)
		if err != unix.EINTR {
			return n, err
		}
	}
}
