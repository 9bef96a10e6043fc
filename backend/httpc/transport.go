package httpc

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"time"

	"github.com/secretfs/secretfs/backend"
	"github.com/secretfs/secretfs/backend/secret"
)

const (
	handshakeTime = 10 * time.Second
	idleTime      = 90 * time.Second
	maxIdle       = 4        // connections, to one server
	maxHeader     = 64 << 10 // bytes
)

// A roundTripper picks the transport at each call.
type roundTripper struct{ c *Client }

func (r roundTripper) RoundTrip(req *http.Request) (*http.Response, error) {
	if t := r.c.cfg.Transport; t != nil {
		return t.RoundTrip(req)
	}
	t, err := r.c.current()
	if err != nil {
		return nil, err
	}
	return t.RoundTrip(req)
}

// A stamp tells states of a file apart.
type stamp struct {
	size     int64
	modified time.Time
}

func stampOf(file string) stamp {
	info, err := os.Stat(file)
	if err != nil {
		return stamp{}
	}
	return stamp{info.Size(), info.ModTime()}
}

// current is a transport that goes by the certificates as they are now. Whoever
// renews them need not tell us.
func (c *Client) current() (*http.Transport, error) {
	s := c.cfg.Settings
	now := [3]stamp{stampOf(s.CAFile), stampOf(s.CertFile), stampOf(s.KeyFile)}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.transport != nil && c.stamps == now {
		return c.transport, nil
	}
	t, err := newTransport(s)
	if err != nil {
		return nil, err
	}
	if c.transport != nil {
		c.transport.CloseIdleConnections()
	}
	c.transport, c.stamps = t, now
	return t, nil
}

func newTransport(s Settings) (*http.Transport, error) {
	config, err := s.tls()
	if err != nil {
		return nil, err
	}
	proxy, err := s.proxy()
	if err != nil {
		return nil, err
	}
	t := &http.Transport{
		Proxy: proxy, TLSClientConfig: config, TLSHandshakeTimeout: handshakeTime,
		MaxIdleConnsPerHost: maxIdle, IdleConnTimeout: idleTime, MaxResponseHeaderBytes: maxHeader,
	}
	// HTTP/2 would gain nothing for a request now and then, and costs memory.
	t.Protocols = new(http.Protocols)
	t.Protocols.SetHTTP1(true)
	return t, nil
}

func (s Settings) tls() (*tls.Config, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if s.CAFile != "" {
		pem, err := os.ReadFile(s.CAFile)
		if err != nil {
			return nil, unreadable("ca_file", err)
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("reading ca_file %s: there is no certificate in it (PEM is wanted): %w", s.CAFile, backend.ErrUnavailable)
		}
	}
	if s.CertFile != "" {
		cert, err := s.certificate()
		if err != nil {
			return nil, err
		}
		config.Certificates = []tls.Certificate{cert}
	}
	return config, nil
}

// certificate reads the pair of client_cert and client_key. crypto/tls keeps the
// key where it likes.
func (s Settings) certificate() (cert tls.Certificate, err error) {
	certPEM, err := os.ReadFile(s.CertFile)
	if err != nil {
		return cert, unreadable("client_cert", err)
	}
	keyPEM, err := os.ReadFile(s.KeyFile)
	defer secret.Wipe(keyPEM)
	if err != nil {
		return cert, unreadable("client_key", err)
	}
	if cert, err = tls.X509KeyPair(certPEM, keyPEM); err != nil {
		return cert, fmt.Errorf("reading client_cert %s and client_key %s: %w: %w", s.CertFile, s.KeyFile, err, backend.ErrRejected)
	}
	return cert, nil
}

func unreadable(key string, err error) error {
	return fmt.Errorf("reading %s: %w: %w", key, err, backend.ErrUnavailable)
}

func (s Settings) proxy() (func(*http.Request) (*url.URL, error), error) {
	switch s.Proxy {
	case "":
		return http.ProxyFromEnvironment, nil
	case noProxy:
		return nil, nil
	}
	u, err := url.Parse(s.Proxy)
	if err != nil {
		return nil, fmt.Errorf("reading proxy: it is no URL: %w", backend.ErrUnavailable)
	}
	return http.ProxyURL(u), nil
}
