package keys

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rsa"
	"errors"
	"strings"

	"filippo.io/age"
	"filippo.io/age/agessh"
	"golang.org/x/crypto/ssh"
)

// parseSSH takes one ssh private key: an age identity (C2SP age.md does not
// cover it; age's agessh does), and if RSA an OpenPGP key as well.
func (m *material) parseSSH(name string, pem []byte) {
	raw, err := ssh.ParseRawPrivateKey(pem)
	if locked := (*ssh.PassphraseMissingError)(nil); errors.As(err, &locked) {
		m.protected = &protected{protectedSSH, bytes.Clone(pem)}
		return
	}
	if err != nil {
		m.complain(name, "malformed ssh private key")
		return
	}
	switch key := raw.(type) {
	case *ed25519.PrivateKey: // OpenSSH's own format
		m.addEd25519(name, *key)
	case ed25519.PrivateKey: // PKCS #8
		m.addEd25519(name, key)
	case *rsa.PrivateKey:
		m.addRSA(name, key)
	default:
		m.complain(name, "age cannot use this kind of ssh key, expected ed25519 or rsa")
	}
}

func (m *material) addEd25519(name string, key ed25519.PrivateKey) {
	id, err := agessh.NewEd25519Identity(key)
	m.addSSH(name, id, err, key.Public())
}

func (m *material) addRSA(name string, key *rsa.PrivateKey) {
	m.pgp = append(m.pgp, pgpKey(key))
	id, err := agessh.NewRSAIdentity(key)
	m.addSSH(name, id, err, key.Public())
}

func (m *material) addSSH(name string, id age.Identity, err error, public any) {
	pub, pubErr := ssh.NewPublicKey(public)
	if err != nil || pubErr != nil {
		m.complain(name, "age cannot use this ssh key")
		return
	}
	m.ages = append(m.ages, ageIdentity{id, sshRecipient(string(ssh.MarshalAuthorizedKey(pub))), name})
}

// sshRecipient is the type and key of an authorized_keys line (sshd(8)), without
// the comment, which says nothing of the key.
func sshRecipient(line string) string {
	fields := strings.Fields(line)
	return strings.Join(fields[:min(2, len(fields))], " ")
}
