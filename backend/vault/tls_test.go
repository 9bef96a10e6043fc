package vault_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/secretfs/secretfs/backend"
	"github.com/secretfs/secretfs/tests/vaultd"
)

// matches wants a certificate and its key (PEM).
func matches(t *testing.T, cert, key string) {
	t.Helper()
	_, err := tls.X509KeyPair([]byte(cert), []byte(key))
	must(t, err)
}

// An authority signs certificates into files.
type authority struct {
	t    *testing.T
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	file string
}

func newAuthority(t *testing.T, dir, name string) *authority {
	t.Helper()
	a := &authority{t: t, dir: dir}
	a.key = newKey(t)
	a.cert = &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, a.cert, a.cert, &a.key.PublicKey, a.key)
	must(t, err)
	a.file = a.write(name+".pem", "CERTIFICATE", der)
	return a
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	return key
}

func (a *authority) write(name, kind string, der []byte) string {
	a.t.Helper()
	path := filepath.Join(a.dir, name)
	must(a.t, os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600))
	return path
}

// sign makes a certificate for name on this machine, and gives the files.
func (a *authority) sign(name string, days int) (cert, key string) {
	a.t.Helper()
	k := newKey(a.t)
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-48 * time.Hour), NotAfter: time.Now().AddDate(0, 0, days),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}, a.cert, &k.PublicKey, a.key)
	must(a.t, err)
	kder, err := x509.MarshalECPrivateKey(k)
	must(a.t, err)
	return a.write(name+".pem", "CERTIFICATE", der), a.write(name+"-key.pem", "EC PRIVATE KEY", kder)
}

// withTLS is a server that also listens on https, with a certificate of ca.
func withTLS(t *testing.T, ca *authority, days int) (s *vaultd.Server, address string) {
	t.Helper()
	cert, key := ca.sign("server", days)
	listen := vaultd.FreePort(t)
	s = vaultd.Start(t, fmt.Sprintf("listener \"tcp\" {\n address = %q\n tls_cert_file = %q\n tls_key_file = %q\n}\n", listen, cert, key))
	putKV2(t, s, "app", map[string]any{"key": theValue})
	s.Policy(t, "app", "secret/data/app read")
	return s, "https://" + listen
}

func TestTLS(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	ca, other := newAuthority(t, dir, "ca"), newAuthority(t, dir, "other")
	_, address := withTLS(t, ca, 1)
	p := open(t, address, byToken, asRoot())
	p.fails(theKey, backend.ErrUnavailable, "the server's certificate is signed by an authority that is not trusted (name its certificate with ca_file)")
	p = open(t, address, byToken+", ca_file: "+other.file, asRoot())
	p.fails(theKey, backend.ErrUnavailable, "signed by an authority that is not trusted")
	good, err := os.ReadFile(ca.file)
	must(t, err)
	must(t, os.WriteFile(other.file, good, 0o600)) // and it heals
	p.reads(theKey, theValue)
	p = open(t, strings.Replace(address, "127.0.0.1", "localhost", 1), byToken+", ca_file: "+ca.file, asRoot())
	p.fails(theKey, backend.ErrUnavailable, `the server's certificate is not for "localhost"`)
	p = open(t, strings.Replace(address, "https", "http", 1), byToken, asRoot())
	if _, _, err := p.get(theKey); err == nil {
		t.Error("plain http to https works")
	}
}

func TestTLSExpired(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t, t.TempDir(), "ca")
	_, address := withTLS(t, ca, -1)
	p := open(t, address, byToken+", ca_file: "+ca.file, asRoot())
	p.fails(theKey, backend.ErrUnavailable, "the server's certificate is good from 2")
}

func TestCert(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t, t.TempDir(), "ca")
	s, address := withTLS(t, ca, 1)
	pemCA, err := os.ReadFile(ca.file)
	must(t, err)
	s.Do(t, "POST", "sys/auth/cert", map[string]string{"type": "cert"})
	s.Do(t, "POST", "auth/cert/certs/host", map[string]any{"certificate": string(pemCA), "allowed_common_names": "host", "token_policies": "app"})
	cert, key := ca.sign("host", 1)
	const auth = "auth: {method: cert, role: host}, "
	p := open(t, address, fmt.Sprintf(auth+"ca_file: %s, client_cert: %s, client_key: %s", ca.file, cert, key), map[string]string{})
	p.reads(theKey, theValue)
	cert, key = ca.sign("somebody", 1)
	p = open(t, address, fmt.Sprintf(auth+"ca_file: %s, client_cert: %s, client_key: %s", ca.file, cert, key), map[string]string{})
	p.fails(theKey, backend.ErrRejected, "logging in at auth/cert/login: ")
	must(t, os.WriteFile(key, []byte("no key"), 0o600))
	p = open(t, address, fmt.Sprintf(auth+"ca_file: %s, client_cert: %s, client_key: %s", ca.file, cert, key), map[string]string{})
	p.fails(theKey, backend.ErrRejected, "reading client_cert "+cert+" and client_key "+key)
}

// token makes a JWT (RFC 7519) with ES256.
func token(t *testing.T, key *ecdsa.PrivateKey, subject string) string {
	t.Helper()
	part := func(v any) string {
		b, err := json.Marshal(v)
		must(t, err)
		return base64.RawURLEncoding.EncodeToString(b)
	}
	text := part(map[string]string{"alg": "ES256", "typ": "JWT"}) + "." + part(map[string]any{
		"sub": subject, "aud": "vault", "iss": "tests", "exp": time.Now().Add(time.Minute).Unix(), "iat": time.Now().Unix(),
	})
	sum := sha256.Sum256([]byte(text))
	r, s, err := ecdsa.Sign(rand.Reader, key, sum[:])
	must(t, err)
	sig := make([]byte, 64)
	r.FillBytes(sig[:32])
	s.FillBytes(sig[32:])
	return text + "." + base64.RawURLEncoding.EncodeToString(sig)
}

func TestJWT(t *testing.T) {
	t.Parallel()
	s, key := ready(t), newKey(t)
	der, err := x509.MarshalPKIXPublicKey(crypto.PublicKey(&key.PublicKey))
	must(t, err)
	s.Do(t, "POST", "sys/auth/ci", map[string]string{"type": "jwt"})
	s.Do(t, "POST", "auth/ci/config", map[string]any{"jwt_validation_pubkeys": []string{string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))}, "bound_issuer": "tests"})
	s.Do(t, "POST", "auth/ci/role/app", map[string]any{"role_type": "jwt", "user_claim": "sub", "bound_audiences": "vault", "bound_subject": "host", "token_policies": "app"})
	p := open(t, s.Address, "auth: {method: jwt, mount: auth/ci/, role: app, jwt: {ask: true}}", map[string]string{"jwt": token(t, key, "somebody")})
	p.fails(theKey, backend.ErrRejected, "logging in at auth/ci/login: ")
	p.give("jwt", token(t, key, "host"))
	must(t, p.Refresh(limited(t)))
	p.reads(theKey, theValue)
}
