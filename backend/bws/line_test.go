package bws_test

import (
	"bytes"
	"net"
	"net/http"
	"sync"

	"golang.org/x/sys/unix"
)

// A line is a way to a server that can be cut, or stall.
type line struct {
	http.RoundTripper
	mu    sync.Mutex
	cut   bool
	stall chan struct{} // closed when what waits is cut off; nil where nothing waits
}

func (l *line) set(cut, stall bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.stall != nil {
		close(l.stall)
		l.stall = nil
	}
	if l.cut = cut; stall {
		l.stall = make(chan struct{})
	}
}

func (l *line) RoundTrip(r *http.Request) (*http.Response, error) {
	l.mu.Lock()
	cut, stall := l.cut, l.stall
	l.mu.Unlock()
	switch {
	case cut:
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: unix.ECONNREFUSED}
	case stall != nil:
		select {
		case <-stall:
			return nil, &net.OpError{Op: "read", Net: "tcp", Err: unix.ECONNRESET}
		case <-r.Context().Done():
			return nil, r.Context().Err()
		}
	}
	return l.RoundTripper.RoundTrip(r)
}

// A safeLog is a log that several may write to.
type safeLog struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *safeLog) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *safeLog) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}
