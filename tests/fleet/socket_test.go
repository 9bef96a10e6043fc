package fleet

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
)

// sockets let connections through a network in memory that become websockets. Its
// methods are safe for concurrent use.
type sockets struct {
	plain  http.RoundTripper // for all other requests
	server http.Handler

	mu   sync.Mutex
	open map[net.Conn]bool
}

func newSockets(plain http.RoundTripper, server http.Handler) *sockets {
	return &sockets{plain: plain, server: server, open: map[net.Conn]bool{}}
}

func (s *sockets) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Header.Get("Upgrade") == "" {
		return s.plain.RoundTrip(r)
	}
	ours, theirs := net.Pipe()
	s.mu.Lock()
	s.open[theirs] = true
	s.mu.Unlock()
	go s.serve(theirs, r)
	in := bufio.NewReader(ours)
	reply, err := http.ReadResponse(in, r)
	if err != nil {
		ours.Close()
		return nil, err
	}
	reply.Body = struct {
		io.Reader
		io.Writer
		io.Closer
	}{in, ours, ours}
	return reply, nil
}

// serve serves one. The request's own context ends with the handshake.
func (s *sockets) serve(conn net.Conn, r *http.Request) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	s.server.ServeHTTP(&upgraded{conn: conn, header: http.Header{}}, r.Clone(ctx))
	conn.Close()
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.open, conn)
}

// cut ends all connections, as the end of a server does.
func (s *sockets) cut() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for conn := range s.open {
		conn.Close()
	}
}

// An upgraded is the answer to a request whose connection becomes another protocol's.
type upgraded struct {
	conn   net.Conn
	header http.Header
	wrote  bool
}

func (u *upgraded) Header() http.Header { return u.header }

func (u *upgraded) WriteHeader(status int) {
	if u.wrote {
		return
	}
	u.wrote = true
	out := bufio.NewWriter(u.conn)
	fmt.Fprintf(out, "HTTP/1.1 %d %s\r\n", status, http.StatusText(status))
	_ = u.header.Write(out)
	_, _ = out.WriteString("\r\n")
	_ = out.Flush() // else the client is gone
}

func (u *upgraded) Write(b []byte) (int, error) {
	u.WriteHeader(http.StatusOK)
	return u.conn.Write(b)
}

func (u *upgraded) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	return u.conn, bufio.NewReadWriter(bufio.NewReader(u.conn), bufio.NewWriter(u.conn)), nil
}
