package mount

import (
	"encoding/binary"
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// kernelInit is an INIT request of Linux 6.18's layout (struct fuse_in_header,
// struct fuse_init_in).
func kernelInit(major, minor uint32, flags uint64) []byte {
	le := binary.LittleEndian
	b := make([]byte, 40+64)
	le.PutUint32(b, uint32(len(b)))
	le.PutUint32(b[4:], 26)
	le.PutUint64(b[8:], 0x1234)
	le.PutUint32(b[40:], major)
	le.PutUint32(b[44:], minor)
	le.PutUint32(b[48:], 131072)
	le.PutUint32(b[52:], uint32(flags))
	le.PutUint32(b[56:], uint32(flags>>32))
	return b
}

// play has negotiate talk to a kernel that sends request, and gives its answer.
func play(t *testing.T, request []byte, passthrough bool) (Negotiated, []byte, error) {
	t.Helper()
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	dev := os.NewFile(uintptr(pair[0]), "dev")
	defer dev.Close()
	defer unix.Close(pair[1])
	if _, err := unix.Write(pair[1], request); err != nil {
		t.Fatal(err)
	}
	got, err := negotiate(dev, passthrough)
	answer := make([]byte, 4096)
	n, readErr := unix.Read(pair[1], answer)
	if readErr != nil {
		n = 0
	}
	return got, answer[:n], err
}

func TestNegotiate(t *testing.T) {
	le := binary.LittleEndian
	const everything = ^uint64(0)
	got, answer, err := play(t, kernelInit(7, 45, everything), true)
	if err != nil {
		t.Fatal(err)
	}
	if !got.Passthrough() || !got.Resend() || got.Minor != 40 {
		t.Errorf("agreed on %+v", got)
	}
	if len(answer) != 16+64 || le.Uint32(answer) != 80 || le.Uint32(answer[4:]) != 0 || le.Uint64(answer[8:]) != 0x1234 {
		t.Fatalf("header % x", answer[:min(16, len(answer))])
	}
	out := answer[16:]
	for _, c := range []struct {
		what      string
		got, want uint32
	}{
		{"major", le.Uint32(out), 7},
		{"minor", le.Uint32(out[4:]), 40},
		{"max_readahead", le.Uint32(out[8:]), 131072},
		{"flags", le.Uint32(out[12:]), uint32(got.Flags)},
		{"max_background", uint32(le.Uint16(out[16:])), 64},
		{"max_write", le.Uint32(out[20:]), 4096},
		{"max_pages", uint32(le.Uint16(out[28:])), 32},
		{"flags2", le.Uint32(out[32:]), uint32(got.Flags >> 32)},
		{"max_stack_depth", le.Uint32(out[36:]), 1},
	} {
		if c.got != c.want {
			t.Errorf("%s is %d, want %d", c.what, c.got, c.want)
		}
	}
	// FUSE_WRITEBACK_CACHE, FUSE_NO_OPEN_SUPPORT and FUSE_POSIX_ACL would each
	// take something out of our hands.
	for _, bit := range []int{16, 17, 20} {
		if got.Flags&(1<<bit) != 0 {
			t.Errorf("flag %d was taken", bit)
		}
	}
}

func TestNegotiateWithLess(t *testing.T) {
	for _, c := range []struct {
		what        string
		request     []byte
		passthrough bool
		want        Negotiated
	}{
		{"a kernel without passthrough and resend", kernelInit(7, 38, flagInitExt|flagAsyncRead), true, Negotiated{38, flagInitExt | flagAsyncRead}},
		{"without the right to register files", kernelInit(7, 40, flagInitExt|flagPassthrough|flagResend), false, Negotiated{40, flagInitExt | flagResend}},
		// Without FUSE_INIT_EXT the upper half is not valid.
		{"an old kernel", kernelInit(7, 31, flagAsyncRead|flagPassthrough), true, Negotiated{31, flagAsyncRead}},
		{"the short INIT of 7.31", kernelInit(7, 31, flagAsyncRead)[:56], true, Negotiated{31, flagAsyncRead}},
	} {
		got, _, err := play(t, c.request, c.passthrough)
		if err != nil || got != c.want {
			t.Errorf("%s: agreed on %+v, %v; want %+v", c.what, got, err, c.want)
		}
	}
}

func TestNegotiateRefuses(t *testing.T) {
	lookup := kernelInit(7, 40, 0)
	binary.LittleEndian.PutUint32(lookup[4:], 1)
	for what, request := range map[string][]byte{
		"another major version": kernelInit(8, 0, 0), "another request": lookup, "a request cut short": kernelInit(7, 40, 0)[:44],
	} {
		if got, answer, err := play(t, request, true); err == nil || len(answer) > 0 {
			t.Errorf("%s: agreed on %+v and answered %d bytes", what, got, len(answer))
		}
	}
}

// TestInitRequest has a worker's INIT lead to what was agreed.
func TestInitRequest(t *testing.T) {
	agreed := Negotiated{Minor: 40, Flags: flagInitExt | flagResend | flagPassthrough | flagAsyncRead}
	got, _, err := play(t, initRequest(agreed), true)
	if err != nil || got != agreed {
		t.Errorf("%+v became %+v, %v", agreed, got, err)
	}
}
