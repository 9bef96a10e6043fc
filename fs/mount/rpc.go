package mount

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// errPeerGone is what calls end with when the process at the other end is dead.
var errPeerGone = errors.New("the process at the other end is gone")

const maxMessage = 64 << 10

// A message is one packet between holder and worker: a call, or, with Reply
// set, the answer to one. Descriptors travel beside it.
type message struct {
	ID    uint64          `json:"id"`
	Reply bool            `json:"reply,omitempty"`
	Op    string          `json:"op,omitempty"`
	Body  json.RawMessage `json:"body,omitempty"`
	Error string          `json:"error,omitempty"`
	// Spilled says that the body was too large for a packet and is in the
	// last file.
	Spilled bool `json:"spilled,omitempty"`

	files []*os.File
}

// An answer is what a handler returns: a body to be encoded and descriptors,
// which are closed once sent.
type answer struct {
	body  any
	files []*os.File
}

type handler func(*message) (answer, error)

// A peer is one end of a SOCK_SEQPACKET pair over which both ends call each
// other. Its methods are safe for concurrent use.
type peer struct {
	conn   *net.UnixConn
	handle handler

	mu      sync.Mutex
	next    uint64
	pending map[uint64]chan *message
	closed  bool
}

// newPeer serves calls from f, each in a goroutine of its own, until the other
// end is gone; then done is closed.
func newPeer(f *os.File, h handler) (p *peer, done <-chan struct{}, err error) {
	conn, err := net.FileConn(f)
	f.Close()
	if err != nil {
		return nil, nil, fmt.Errorf("opening the link between holder and worker: %w", err)
	}
	p = &peer{conn: conn.(*net.UnixConn), handle: h, pending: make(map[uint64]chan *message)}
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		p.read()
	}()
	return p, gone, nil
}

// call sends op and waits for the answer, whose body is decoded into result
// if that is not nil. The files stay the caller's.
func (p *peer) call(ctx context.Context, op string, body, result any, files ...*os.File) ([]*os.File, error) {
	reply := make(chan *message, 1)
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		return nil, errPeerGone
	}
	p.next++
	id := p.next
	p.pending[id] = reply
	p.mu.Unlock()
	defer func() {
		p.mu.Lock()
		delete(p.pending, id)
		p.mu.Unlock()
	}()
	if err := p.send(message{ID: id, Op: op}, body, files); err != nil {
		return nil, err
	}
	select {
	case <-ctx.Done():
		return nil, fmt.Errorf("calling %s: %w", op, context.Cause(ctx))
	case m := <-reply:
		if m == nil {
			return nil, errPeerGone
		}
		if m.Error != "" {
			return nil, errors.New(m.Error)
		}
		if result != nil {
			return m.files, json.Unmarshal(m.Body, result)
		}
		return m.files, nil
	}
}

func (p *peer) send(m message, body any, files []*os.File) error {
	var err error
	if body != nil {
		if m.Body, err = json.Marshal(body); err != nil {
			return fmt.Errorf("encoding %s: %w", m.Op, err)
		}
	}
	if len(m.Body) > maxMessage-1024 {
		spill, err := inMemory("message", m.Body)
		if err != nil {
			return fmt.Errorf("encoding %s: %w", m.Op, err)
		}
		defer spill.Close()
		m.Body, m.Spilled, files = nil, true, append(files[:len(files):len(files)], spill)
	}
	b, err := json.Marshal(m)
	if err != nil {
		return fmt.Errorf("encoding %s: %w", m.Op, err)
	}
	var oob []byte
	if len(files) > 0 {
		fds := make([]int, len(files))
		for i, f := range files {
			fds[i] = int(f.Fd())
		}
		oob = unix.UnixRights(fds...)
	}
	if _, _, err := p.conn.WriteMsgUnix(b, oob, nil); err != nil {
		return errPeerGone
	}
	return nil
}

func (p *peer) read() {
	defer p.hangUp()
	buf := make([]byte, maxMessage)
	oob := make([]byte, unix.CmsgSpace(4*64))
	for {
		n, oobn, _, _, err := p.conn.ReadMsgUnix(buf, oob)
		if err != nil || n == 0 {
			return
		}
		m := new(message)
		files, _ := filesFrom(oob[:oobn])
		if json.Unmarshal(buf[:n], m) != nil {
			closeAll(files)
			return
		}
		m.files = files
		m.unspill()
		if !m.Reply {
			go p.serve(m)
			continue
		}
		p.mu.Lock()
		reply := p.pending[m.ID]
		p.mu.Unlock()
		if reply != nil {
			reply <- m
		} else {
			closeAll(m.files)
		}
	}
}

func (p *peer) serve(m *message) {
	a, err := p.handle(m)
	reply := message{ID: m.ID, Reply: true}
	if err != nil {
		reply.Error = err.Error()
	}
	_ = p.send(reply, a.body, a.files)
	closeAll(a.files)
}

// hangUp ends every call that waits.
func (p *peer) hangUp() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	for id, reply := range p.pending {
		delete(p.pending, id)
		close(reply)
	}
}

func (m *message) unspill() {
	if !m.Spilled || len(m.files) == 0 {
		return
	}
	last := len(m.files) - 1
	defer m.files[last].Close()
	if b, err := readAll(m.files[last]); err == nil {
		m.Body = b
	}
	m.files = m.files[:last]
}

func (p *peer) close() { p.conn.Close() }

func (m *message) decode(v any) error {
	if err := json.Unmarshal(m.Body, v); err != nil {
		return fmt.Errorf("decoding %s: %w", m.Op, err)
	}
	return nil
}

// filesFrom takes the descriptors out of a control message.
func filesFrom(oob []byte) ([]*os.File, error) {
	if len(oob) == 0 {
		return nil, nil
	}
	controls, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return nil, err
	}
	var files []*os.File
	for _, c := range controls {
		fds, err := unix.ParseUnixRights(&c)
		if err != nil {
			continue
		}
		for _, fd := range fds {
			unix.CloseOnExec(fd)
			files = append(files, os.NewFile(uintptr(fd), "received"))
		}
	}
	return files, nil
}

func closeAll(files []*os.File) {
	for _, f := range files {
		if f != nil {
			f.Close()
		}
	}
}
