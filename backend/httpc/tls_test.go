package httpc

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/secretfs/secretfs/backend"
)

// An authority signs certificates for a test.
type authority struct {
	t    *testing.T
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T, file string) *authority {
	t.Helper()
	a := &authority{t: t, dir: filepath.Dir(file)}
	a.key = newKey(t)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: file}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &a.key.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	if a.cert, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	writePEM(t, file, "CERTIFICATE", der)
	return a
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func writePEM(t *testing.T, file, kind string, der []byte) {
	t.Helper()
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
}

// issue signs a certificate for 127.0.0.1 and, in name.pem and name.key, keeps it.
func (a *authority) issue(name string, change func(*x509.Certificate)) tls.Certificate {
	a.t.Helper()
	key := newKey(a.t)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: name}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	if change != nil {
		change(template)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, &key.PublicKey, a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		a.t.Fatal(err)
	}
	writePEM(a.t, filepath.Join(a.dir, name+".pem"), "CERTIFICATE", der)
	writePEM(a.t, filepath.Join(a.dir, name+".key"), "PRIVATE KEY", pkcs8)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

func serveTLS(t *testing.T, config *tls.Config) string {
	t.Helper()
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok") }))
	s.TLS = config
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.StartTLS()
	t.Cleanup(s.Close)
	return s.URL
}

func TestCertificates(t *testing.T) {
	dir := t.TempDir()
	ca := filepath.Join(dir, "ca.pem")
	a := newAuthority(t, ca)
	other := newAuthority(t, filepath.Join(dir, "other.pem"))
	pool := x509.NewCertPool()
	pool.AddCert(a.cert)
	one := func(c tls.Certificate) *tls.Config { return &tls.Config{Certificates: []tls.Certificate{c}} }
	good := a.issue("good", nil)
	mutual := one(good)
	mutual.ClientAuth, mutual.ClientCAs = tls.RequireAndVerifyClientCert, pool
	a.issue("client", nil)
	other.issue("stranger", nil)
	plain := serve(t, func(http.ResponseWriter, *http.Request) {})
	pair := func(name string) Settings {
		return Settings{CAFile: ca, CertFile: filepath.Join(dir, name+".pem"), KeyFile: filepath.Join(dir, name+".key")}
	}
	trusting := Settings{CAFile: ca}
	for _, c := range []struct {
		name     string
		url      string
		settings Settings
		kind     error // nil where it works
		text     string
	}{
		{"ours", serveTLS(t, one(good)), trusting, nil, ""},
		{"not trusted by the system", serveTLS(t, one(good)), Settings{}, backend.ErrUnavailable, "ca_file"},
		{"of another authority", serveTLS(t, one(other.issue("b", nil))), trusting, backend.ErrUnavailable, "an authority that is not trusted"},
		{
			"for another name", serveTLS(t, one(a.issue("c", func(c *x509.Certificate) { c.IPAddresses, c.DNSNames = nil, []string{"x.example"} }))),
			trusting, backend.ErrUnavailable, `not for "127.0.0.1"`,
		},
		{
			"expired", serveTLS(t, one(a.issue("d", func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) }))),
			trusting, backend.ErrUnavailable, "this machine's clock says",
		},
		{
			"not yet good", serveTLS(t, one(a.issue("e", func(c *x509.Certificate) { c.NotBefore = time.Now().Add(time.Minute) }))),
			trusting, backend.ErrUnavailable, "this machine's clock says",
		},
		{"no TLS there", "https" + plain[len("http"):], trusting, backend.ErrUnavailable, "plain HTTP"},
		{"client certificate", serveTLS(t, mutual), pair("client"), nil, ""},
		{"client certificate missing", serveTLS(t, mutual), trusting, backend.ErrUnavailable, "client_cert"},
		{"client certificate of a stranger", serveTLS(t, mutual), pair("stranger"), backend.ErrUnavailable, "client_cert"},
		{"no such ca_file", "https://127.0.0.1:1", Settings{CAFile: dir + "/none"}, backend.ErrUnavailable, "reading ca_file: open " + dir + "/none"},
		{"ca_file without one", "https://127.0.0.1:1", Settings{CAFile: filepath.Join(dir, "good.key")}, backend.ErrUnavailable, "no certificate in it"},
		{"no such key", "https://127.0.0.1:1", Settings{CertFile: ca, KeyFile: dir + "/none"}, backend.ErrUnavailable, "reading client_key"},
		{
			"another's key", "https://127.0.0.1:1",
			Settings{CertFile: filepath.Join(dir, "good.pem"), KeyFile: filepath.Join(dir, "client.key")},
			backend.ErrRejected, "client_cert",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			client := New(Config{Settings: c.settings})
			defer client.Close()
			r, err := get(client, c.url)
			if c.kind == nil {
				if err != nil || string(r.Body) != "ok" {
					t.Error(r, err)
				}
				return
			}
			fails(t, err, c.kind, c.text)
		})
	}
}

// A certificate that was renewed, or a file that was mended, needs no restart.
func TestCertificateFilesAreReadAgain(t *testing.T) {
	dir := t.TempDir()
	ca := filepath.Join(dir, "ca.pem")
	c := New(Config{Settings: Settings{CAFile: ca}})
	defer c.Close()
	if _, err := get(c, "https://127.0.0.1:1"); err == nil {
		t.Fatal("works without its ca_file")
	}
	for range 2 {
		a := newAuthority(t, ca)
		_ = os.Chtimes(ca, time.Time{}, time.Now().Add(time.Duration(len(a.cert.Raw))*time.Second))
		if _, err := get(c, serveTLS(t, &tls.Config{Certificates: []tls.Certificate{a.issue("s", nil)}})); err != nil {
			t.Error(err)
		}
	}
}
