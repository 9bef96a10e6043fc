package bwserver

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"
)

// A Server serves https on a port of its own of 127.0.0.1.
type Server struct {
	URL    string
	CAFile string // PEM, of the authority that has signed its certificate
	web    *httptest.Server
	mux    *http.ServeMux

	mu       sync.Mutex // guards what follows
	accounts []*Account
	tokens   map[string]*grant // access token -> whose
	refresh  map[string]*grant
	blobs    map[string][]byte // content of attachments by "cipher/attachment"
	requests []string          // "POST /identity/connect/token"
	hook     func(w http.ResponseWriter, r *http.Request) bool
	hubs     map[*hub]bool
}

// New starts a server, which ends with the test.
func New(t testing.TB) *Server {
	s := &Server{
		mux: http.NewServeMux(), tokens: map[string]*grant{}, refresh: map[string]*grant{}, blobs: map[string][]byte{},
		hubs: map[*hub]bool{},
	}
	s.routes()
	s.web = httptest.NewUnstartedServer(s)
	s.web.TLS = &tls.Config{Certificates: []tls.Certificate{s.certificate(t)}}
	s.web.Config.ErrorLog = quiet
	s.web.StartTLS()
	s.URL = s.web.URL
	t.Cleanup(s.Stop)
	return s
}

// Stop drops all connections, and answers none from then on.
func (s *Server) Stop() {
	s.mu.Lock()
	for h := range s.hubs {
		close(h.messages)
		delete(s.hubs, h)
	}
	s.mu.Unlock()
	s.web.CloseClientConnections()
	s.web.Close()
}

// Restart serves again at the same address.
func (s *Server) Restart(t testing.TB) {
	l, err := net.Listen("tcp", s.web.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	next := httptest.NewUnstartedServer(s)
	next.Listener.Close()
	next.Listener, next.TLS, next.Config.ErrorLog = l, s.web.TLS, quiet
	next.StartTLS()
	s.web = next
}

// quiet drops what net/http says of clients that hang up.
var quiet = log.New(io.Discard, "", 0)

// Hook has f see each request first; if it returns true it has answered. nil ends
// that.
func (s *Server) Hook(f func(w http.ResponseWriter, r *http.Request) bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hook = f
}

// Requests are method and path of all that was asked, in order.
func (s *Server) Requests() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.requests)
}

// Count is how often what ("POST /identity/connect/token") was asked.
func (s *Server) Count(what string) (n int) {
	for _, r := range s.Requests() {
		if r == what {
			n++
		}
	}
	return n
}

// Logins is how many logins there were.
func (s *Server) Logins() int { return s.Count("POST /identity/connect/token") }

// ServeHTTP answers one request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	s.requests = append(s.requests, r.Method+" "+r.URL.Path)
	hook := s.hook
	s.mu.Unlock()
	if hook == nil || !hook(w, r) {
		s.mux.ServeHTTP(w, r)
	}
}

func reply(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(body)
}

func fail(w http.ResponseWriter, status int, message string) {
	reply(w, status, object{"message": message, "object": "error", "ErrorModel": object{"Message": message, "Object": "error"}})
}

type object = map[string]any

// certificate makes an authority, and a certificate of this machine from it.
func (s *Server) certificate(t testing.TB) tls.Certificate {
	caKey, key := newKey(t), newKey(t)
	ca := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "secretfs test authority"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour), KeyUsage: x509.KeyUsageCertSign,
	}
	caDER := sign(t, ca, ca, &caKey.PublicKey, caKey)
	leaf := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "localhost"}, DNSNames: []string{"localhost"},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, NotBefore: ca.NotBefore, NotAfter: ca.NotAfter,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}, KeyUsage: x509.KeyUsageDigitalSignature,
	}
	leafDER := sign(t, leaf, ca, &key.PublicKey, caKey)
	s.CAFile = filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(s.CAFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: caDER}), 0o644); err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{leafDER, caDER}, PrivateKey: key}
}

func newKey(t testing.TB) *ecdsa.PrivateKey {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func sign(t testing.TB, what, by *x509.Certificate, key *ecdsa.PublicKey, with *ecdsa.PrivateKey) []byte {
	der, err := x509.CreateCertificate(rand.Reader, what, by, key, with)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func newID() string {
	var b [16]byte
	rand.Read(b[:])
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}
