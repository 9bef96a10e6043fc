package keys

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"strings"
	"testing"

	"filippo.io/age"
	"filippo.io/age/plugin"
	"golang.org/x/crypto/ssh"
)

func FuzzParseKeyFile(f *testing.F) {
	x, err := age.GenerateX25519Identity()
	if err != nil {
		f.Fatal(err)
	}
	pq, err := age.GenerateHybridIdentity()
	if err != nil {
		f.Fatal(err)
	}
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		f.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKey(ed, "comment")
	if err != nil {
		f.Fatal(err)
	}
	f.Add([]byte("# created\r\n" + x.String() + "\r\n\r\n" + pq.String()))
	f.Add([]byte(plugin.EncodeIdentity("x", []byte("data")) + "\nage1abc\nssh-ed25519 AAAA\n"))
	f.Add(pem.EncodeToMemory(block))
	protected, err := ssh.MarshalPrivateKeyWithPassphrase(ed, "comment", []byte("passphrase"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(pem.EncodeToMemory(protected))
	f.Add([]byte("-----BEGIN AGE ENCRYPTED FILE-----\n"))
	f.Add([]byte("\xef\xbb\xbf# only a comment"))
	f.Fuzz(func(t *testing.T, in []byte) {
		m := parseKeyFile("/k", in)
		if len(m.ages)+len(m.plugins)+len(m.pgp)+len(m.problems) == 0 && m.protected == nil {
			t.Error("no identity, no sentence, and no passphrase to ask for")
		}
		if len(m.problems) > maxProblems {
			t.Errorf("%d sentences", len(m.problems))
		}
		for _, p := range m.problems {
			if !strings.HasPrefix(p, "/k:") {
				t.Errorf("the sentence %q does not name the file", p)
			}
		}
		for _, id := range m.ages {
			if id.Identity == nil || id.recipient == "" || !strings.HasPrefix(id.origin, "/k") {
				t.Errorf("incomplete identity for %q of %q", id.recipient, id.origin)
			}
		}
	})
}
