// Package table is what the kernel's ids mean, in memory that outlives every
// worker: which path a node id stands for, which version and backing file it
// carries, and which handles are open. The holder creates it once and hands the
// descriptor to each worker, which maps it; a worker that is killed between any
// two stores leaves a table that the next one can go on with.
//
// There is one writer at a time. No field holds a secret: paths, versions and
// ids only.
package table

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A NodeID is a FUSE node id. Root is the root of the mount; 0 is none.
type NodeID uint64

// Root is FUSE_ROOT_ID.
const Root NodeID = 1

// ErrFull is returned when no more nodes, paths or handles fit.
var ErrFull = errors.New("node table is full")

const (
	magic = 0x73666e7461623034

	maxNodes   = 1 << 20
	maxHandles = 1 << 20
	maxPaths   = 256 << 20
	maxPending = 1 << 14
	maxVersion = 32
	retrySlots = 1 << 12

	headerSize = 4096
	nodesAt    = headerSize
	handlesAt  = nodesAt + maxNodes*int(unsafe.Sizeof(nodeRecord{}))
	retriesAt  = handlesAt + maxHandles*int(unsafe.Sizeof(handleRecord{}))
	pendingAt  = retriesAt + retrySlots*int(unsafe.Sizeof(retryRecord{}))
	pathsAt    = pendingAt + maxPending*int(unsafe.Sizeof(pendingRecord{}))
	totalSize  = pathsAt + maxPaths
)

type header struct {
	magic   uint64
	nodes   atomic.Uint32 // records in use; a record is complete before it is counted
	handles atomic.Uint32 // high-water mark of handle slots
	paths   atomic.Uint64 // bytes of the path heap in use
}

// nodeRecord is 128 bytes. pathAt to primary never change once counted. backing
// guards size and version: 0 while they are being written.
type nodeRecord struct {
	pathAt  uint32
	pathLen uint16
	dir     uint16
	primary uint32        // index of the path's first node
	next    uint32        // index of the path's next incarnation, 0 is none
	current atomic.Uint32 // on the primary: index of what LOOKUP answers
	backing atomic.Int32
	size    int64
	changed int64 // on the primary: when the seen version came, Unix ns
	seenLen uint32
	verLen  uint32
	seen    [maxVersion]byte // on the primary: the version that watchers know of
	version [maxVersion]byte
	_       [16]byte
}

type handleRecord struct {
	state  atomic.Uint32 // 0 is free
	gen    uint32
	node   uint32
	object int32
	unique uint64
	size   int64
}

// retryRecord remembers that a thread was told ESTALE and will come again.
type retryRecord struct {
	tid   atomic.Uint32
	node  uint32
	at    int64
	asked uint64        // the request that was told so
	again atomic.Uint64 // the request that came for it
}

// pendingRecord is a request that is being handled, or was lately. unique guards
// the rest: 0 while they are being written.
type pendingRecord struct {
	unique atomic.Uint64
	node   NodeID
	tid    uint32
	errno  int32
}

// A Table is the mapped table. Methods are safe for concurrent use by the
// goroutines of the one writing process.
type Table struct {
	mem     []byte
	head    *header
	nodes   []nodeRecord
	handles []handleRecord
	retries []retryRecord
	pending []pendingRecord

	mu     sync.Mutex        // guards what follows and all growth
	byPath map[string]uint32 // path -> index of the primary; keys lie in mem
	free   []uint32          // free handle slots below the high-water mark
	idle   []uint32          // slots of pending that no handler uses, the longest idle first
	resent map[uint64]uint32 // request -> slot that a dead worker had filled for it
	open   map[uint32]int    // node index -> open handles
	// reading maps an object to the open handles that read from it.
	reading map[int32]int
}

// Create makes an empty table in an anonymous file (memfd_create(2)). Pages
// are allocated as they are touched.
func Create() (*os.File, error) {
	fd, err := unix.MemfdCreate("secretfs-table", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		return nil, fmt.Errorf("creating the node table: %w", err)
	}
	f := os.NewFile(uintptr(fd), "secretfs-table")
	if err := f.Truncate(int64(totalSize)); err != nil {
		f.Close()
		return nil, fmt.Errorf("sizing the node table: %w", err)
	}
	// A table that shrinks under a mapping would kill the worker with SIGBUS.
	_, _ = unix.FcntlInt(f.Fd(), unix.F_ADD_SEALS, unix.F_SEAL_SHRINK|unix.F_SEAL_GROW|unix.F_SEAL_SEAL)
	return f, nil
}

// Layout names what this program writes: tables of another layout cannot be
// taken over.
func Layout() string { return nameOf(magic) }

// LayoutOf names the layout of the table in f; empty if nobody has mapped it yet.
func LayoutOf(f *os.File) (string, error) {
	var b [8]byte
	if _, err := f.ReadAt(b[:], 0); err != nil {
		return "", fmt.Errorf("reading the node table: %w", err)
	}
	made := binary.NativeEndian.Uint64(b[:])
	if made == 0 {
		return "", nil
	}
	return nameOf(made), nil
}

func nameOf(magic uint64) string {
	name := binary.BigEndian.AppendUint64(nil, magic)
	return strings.Trim(strconv.QuoteToASCII(string(name)), `"`)
}

// Check refuses a table that Map would refuse, without mapping it.
func Check(f *os.File) error {
	made, err := LayoutOf(f)
	if err == nil && made != "" && made != Layout() {
		err = fmt.Errorf("taking over the node table: its layout is %s, made by another version of secretfs, and this one reads %s", made, Layout())
	}
	return err
}

// Map maps the table in f and takes over what an earlier worker left in it.
// From then on this process is the one writer.
func Map(f *os.File) (*Table, error) {
	mem, err := unix.Mmap(int(f.Fd()), 0, totalSize, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED|unix.MAP_NORESERVE)
	if err != nil {
		return nil, fmt.Errorf("mapping the node table: %w", err)
	}
	t := &Table{
		mem:     mem,
		head:    (*header)(unsafe.Pointer(&mem[0])),
		nodes:   unsafe.Slice((*nodeRecord)(unsafe.Pointer(&mem[nodesAt])), maxNodes),
		handles: unsafe.Slice((*handleRecord)(unsafe.Pointer(&mem[handlesAt])), maxHandles),
		retries: unsafe.Slice((*retryRecord)(unsafe.Pointer(&mem[retriesAt])), retrySlots),
		pending: unsafe.Slice((*pendingRecord)(unsafe.Pointer(&mem[pendingAt])), maxPending),
		byPath:  make(map[string]uint32),
		resent:  make(map[uint64]uint32),
		open:    make(map[uint32]int),
		reading: make(map[int32]int),
	}
	if err := Check(f); err != nil {
		t.Close()
		return nil, err
	}
	if t.head.magic == 0 {
		t.nodes[0].dir = 1 // the root: path "", its own primary
		t.head.nodes.Store(1)
		t.head.magic = magic
	}
	t.adopt()
	return t, nil
}

// adopt rebuilds the in-process indexes.
func (t *Table) adopt() {
	t.idle = make([]uint32, maxPending)
	for i := range t.idle {
		t.idle[i] = uint32(i)
	}
	for i := range t.head.nodes.Load() {
		if t.nodes[i].primary == i {
			t.byPath[t.path(i)] = i
		}
	}
	for i := range t.head.handles.Load() {
		h := &t.handles[i]
		if h.state.Load() == 0 {
			t.free = append(t.free, i)
			continue
		}
		t.open[h.node]++
		t.reading[h.object]++
		t.resent[h.unique] = i
	}
}

// Close unmaps the table.
func (t *Table) Close() error {
	return unix.Munmap(t.mem)
}

// path is the path of record i; the string lies in the mapping.
func (t *Table) path(i uint32) string {
	n := &t.nodes[i]
	if n.pathLen == 0 {
		return ""
	}
	return unsafe.String(&t.mem[pathsAt+int(n.pathAt)], int(n.pathLen))
}
