package offline

import (
	"errors"
	"strings"

	"filippo.io/age"
	"filippo.io/age/agessh"

	"github.com/secretfs/secretfs/policy/conf"
)

// Settings are what a backend's `offline:` says: whom copies are encrypted to, and
// what opens them. Paths are absolute.
type Settings struct {
	Recipients []string
	// Identities are files with age identities or an ssh private key.
	Identities []string
	// HostKey is an ssh private key that is recipient and identity.
	HostKey string
}

// Decode reads Settings from `offline:` of a backend in a policy file that lies in
// dir. All problems go to report; it reads no other file.
func Decode(n *conf.Node, dir string, report *conf.Problems) any {
	f := conf.OpenAt(n, n.Pos, report, "recipients", "identities", "host_key")
	s := Settings{
		Recipients: f.Texts("recipients", wrong), Identities: f.Paths("identities", dir),
		HostKey: strings.Clone(f.Path("host_key", dir, "")),
	}
	switch {
	case f.Get("recipients") == nil && f.Get("host_key") == nil:
		f.Addf("", "say whom copies are encrypted to: host_key, or recipients and identities")
	case f.Get("recipients") != nil && f.Get("host_key") != nil:
		f.Addf("host_key", "recipients and host_key are given; give one")
	case f.Get("recipients") != nil && f.Get("identities") == nil:
		f.Addf("recipients", "name the identities too, which open the copies: without them they could not be served")
	case f.Get("identities") != nil && f.Get("host_key") != nil:
		f.Addf("identities", "host_key opens the copies by itself")
	}
	return s
}

// wrong says what is wrong with a recipient, "" where nothing is.
func wrong(text string) string {
	if _, err := parseRecipient(text); err != nil {
		return err.Error()
	}
	return ""
}

// parseRecipient takes age's own recipients, post-quantum ones too, and ssh public
// keys.
func parseRecipient(text string) (age.Recipient, error) {
	if strings.HasPrefix(text, "ssh-") {
		r, err := agessh.ParseRecipient(text)
		if err != nil {
			return nil, errors.New("it is no ssh-ed25519 or ssh-rsa public key that age could encrypt to")
		}
		return r, nil
	}
	rs, err := age.ParseRecipients(strings.NewReader(text))
	if err != nil || len(rs) != 1 {
		// age's error would quote it, and it could be an identity by mistake.
		return nil, errors.New("want a recipient of age (age1…, none of a plugin) or an ssh public key (ssh-ed25519 …)")
	}
	return rs[0], nil
}

// Files are the private keys.
func (s Settings) Files() []string {
	if s.HostKey != "" {
		return []string{s.HostKey}
	}
	return s.Identities
}
