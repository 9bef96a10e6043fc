package vaultd

import (
	"io"
	"net"
	"strings"
	"sync"
	"testing"
)

// A Proxy is a way to a server that can be cut. It passes bytes on.
type Proxy struct {
	Address string // as of the server, with another port
	target  string

	mu    sync.Mutex
	l     net.Listener
	stall bool
	conns []net.Conn
}

// Through makes a Proxy to the server at address.
func Through(t testing.TB, address string) *Proxy {
	t.Helper()
	scheme, target, _ := strings.Cut(address, "://")
	p := &Proxy{target: target}
	p.listen(t, "127.0.0.1:0")
	p.Address = scheme + "://" + p.l.Addr().String()
	t.Cleanup(p.Cut)
	return p
}

func (p *Proxy) listen(t testing.TB, on string) {
	t.Helper()
	l, err := net.Listen("tcp", on)
	if err != nil {
		t.Fatal(err)
	}
	p.l = l
	go p.serve(l)
}

// Cut ends all connections; from now on nothing listens.
func (p *Proxy) Cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.l.Close()
	for _, c := range p.conns {
		c.Close()
	}
	p.conns = nil
}

// Mend ends Cut and Stall.
func (p *Proxy) Mend(t testing.TB) {
	t.Helper()
	p.Cut()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stall = false
	_, on, _ := strings.Cut(p.Address, "://")
	p.listen(t, on)
}

// Stall ends all connections; new ones are taken and never answered.
func (p *Proxy) Stall(t testing.TB) {
	t.Helper()
	p.Mend(t)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stall = true
}

func (p *Proxy) serve(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		go p.pass(c)
	}
}

func (p *Proxy) pass(c net.Conn) {
	p.mu.Lock()
	p.conns = append(p.conns, c)
	stall := p.stall
	p.mu.Unlock()
	if stall {
		return
	}
	s, err := net.Dial("tcp", p.target)
	if err != nil {
		c.Close()
		return
	}
	p.mu.Lock()
	p.conns = append(p.conns, s)
	p.mu.Unlock()
	go func() {
		_, _ = io.Copy(s, c)
		s.Close()
	}()
	_, _ = io.Copy(c, s)
	c.Close()
}
