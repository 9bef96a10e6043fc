package keys

import (
	"bytes"
	"fmt"

	"filippo.io/age"
	"filippo.io/age/plugin"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
)

// maxProblems stops the complaints about a file that is no key file at all.
const maxProblems = 3

// An ageIdentity is a native age or ssh key.
type ageIdentity struct {
	age.Identity
	recipient string // as sops writes it, without an ssh key's comment
	origin    string // file, or file:line
}

// A pluginIdentity needs its plugin to run, outside of this process.
type pluginIdentity struct {
	name     string
	encoding string // AGE-PLUGIN-…
	owner    uint32 // uid of the file that it stands in
}

// material is what one key file holds.
type material struct {
	ages    []ageIdentity
	plugins []pluginIdentity
	pgp     []*packet.PrivateKey
	// protected is a whole file that takes a passphrase to be read, or nil.
	protected *protected
	// problems are sentences that name file and line and quote nothing.
	problems []string
}

func (m *material) complain(where, format string, args ...any) {
	m.problems = append(m.problems, where+": "+fmt.Sprintf(format, args...))
}

// parseKeyFile reads one key file; name is for the sentences alone. A bad line
// does not spoil the others.
func parseKeyFile(name string, b []byte) (m material) {
	b = bytes.TrimPrefix(b, []byte("\xef\xbb\xbf"))
	first := firstLine(b)
	switch {
	case bytes.HasPrefix(first, []byte("age-encryption.org/")),
		bytes.HasPrefix(first, []byte("-----BEGIN AGE ENCRYPTED FILE")):
		if isPassphraseFile(b) {
			m.protected = &protected{protectedAge, bytes.Clone(b)}
			return m
		}
		m.complain(name, "the identity file is itself encrypted with age to other identities: encrypt it with a passphrase (age -p), or name the decrypted file")
	case bytes.HasPrefix(first, []byte("PuTTY-User-Key-File")):
		m.complain(name, "a PuTTY key, expected an OpenSSH one: convert it with puttygen -O private-openssh")
	case bytes.HasPrefix(first, []byte("-----BEGIN PGP ")):
		m.complain(name, "an OpenPGP key block, expected an age or ssh key: import it into the GnuPG home")
	case bytes.HasPrefix(first, []byte("-----BEGIN ")):
		m.parseSSH(name, b)
	default:
		m.parseAge(name, b)
	}
	if len(m.ages)+len(m.plugins)+len(m.pgp)+len(m.problems) == 0 && m.protected == nil {
		m.complain(name, "holds no identity")
	}
	return m
}

// firstLine is the first line that is neither empty nor a comment.
func firstLine(b []byte) []byte {
	for line := range bytes.Lines(b) {
		if line = bytes.TrimSpace(line); len(line) > 0 && line[0] != '#' {
			return line
		}
	}
	return nil
}

func (m *material) parseAge(name string, b []byte) {
	n := 0
	for line := range bytes.Lines(b) {
		n++
		line = bytes.TrimSpace(line)
		if len(line) == 0 || line[0] == '#' {
			continue
		}
		if problem := m.parseIdentity(line, fmt.Sprintf("%s:%d", name, n)); problem != "" {
			m.complain(fmt.Sprintf("%s:%d", name, n), "%s", problem)
		}
		if len(m.problems) == maxProblems {
			return
		}
	}
}

// parseIdentity takes one line. age wants a string, and keeps a copy of the key
// on the heap in any case. Its errors quote characters of the key, so that they
// are replaced.
func (m *material) parseIdentity(line []byte, origin string) (problem string) {
	switch {
	case bytes.HasPrefix(line, []byte("AGE-SECRET-KEY-PQ-1")):
		id, err := age.ParseHybridIdentity(string(line))
		if err != nil {
			return "malformed post-quantum age identity (AGE-SECRET-KEY-PQ-1…)"
		}
		m.ages = append(m.ages, ageIdentity{id, id.Recipient().String(), origin})
	case bytes.HasPrefix(line, []byte("AGE-SECRET-KEY-1")):
		id, err := age.ParseX25519Identity(string(line))
		if err != nil {
			return "malformed age identity (AGE-SECRET-KEY-1…)"
		}
		m.ages = append(m.ages, ageIdentity{id, id.Recipient().String(), origin})
	case bytes.HasPrefix(line, []byte("AGE-PLUGIN-")):
		plugName, _, err := plugin.ParseIdentity(string(line))
		if err != nil {
			return "malformed age plugin identity (AGE-PLUGIN-…)"
		}
		m.plugins = append(m.plugins, pluginIdentity{name: plugName, encoding: string(line)})
	case bytes.HasPrefix(line, []byte("age1")), bytes.HasPrefix(line, []byte("ssh-")):
		return "a public key, expected the private one"
	default:
		return "not an age identity (AGE-SECRET-KEY-1… or AGE-PLUGIN-…)"
	}
	return ""
}
