package vault_test

import (
	"crypto/tls"
	"testing"
)

// matches wants a certificate and its key (PEM).
func matches(t *testing.T, cert, key string) {
	t.Helper()
	_, err := tls.X509KeyPair([]byte(cert), []byte(key))
	must(t, err)
}
