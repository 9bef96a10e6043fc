package vault_test

import (
	"crypto/ed25519"
	"crypto/rand"
	"fmt"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"

	"github.com/secretfs/secretfs/tests/vaultd"
)

// TestSSH: what is written and has no lease is held, so that there is one certificate.
func TestSSH(t *testing.T) {
	t.Parallel()
	s := vaultd.Start(t, "")
	s.Do(t, "POST", "sys/mounts/ssh", map[string]string{"type": "ssh"})
	s.Do(t, "POST", "ssh/config/ca", map[string]any{"generate_signing_key": true})
	s.Do(t, "POST", "ssh/roles/host", map[string]any{
		"key_type": "ca", "allow_user_certificates": true, "allowed_users": "app", "default_user": "app", "ttl": "1h",
	})
	public, _, err := ed25519.GenerateKey(rand.Reader)
	must(t, err)
	pub, err := ssh.NewPublicKey(public)
	must(t, err)
	line := strings.TrimSpace(string(ssh.MarshalAuthorizedKey(pub)))
	p := open(t, s.Address, byToken, asRoot())
	entry := fmt.Sprintf("{path: ssh/sign/host, field: signed_key, data: {public_key: %q, valid_principals: app}}", line)
	first, _, err := p.get(entry)
	must(t, err)
	key, _, _, _, err := ssh.ParseAuthorizedKey([]byte(first))
	must(t, err)
	cert, ok := key.(*ssh.Certificate)
	if !ok || cert.ValidPrincipals[0] != "app" {
		t.Errorf("no certificate for app: %T", key)
	}
	p.reads(entry, first)
	if n := s.Requests(t, "ssh/sign/"); n != 1 {
		t.Errorf("signed %d times", n)
	}
	ca, _, err := p.get("{path: ssh/config/ca, field: public_key}") // a plain read
	must(t, err)
	if _, _, _, _, err := ssh.ParseAuthorizedKey([]byte(ca)); err != nil {
		t.Error(err)
	}
}
