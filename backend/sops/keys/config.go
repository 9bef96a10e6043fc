package keys

import "slices"

// Config names the identities that a Ring may use. Paths are absolute. Every
// list takes any kind of key file; a file named twice is read once.
type Config struct {
	// KeyFiles hold age identities (native, post-quantum and AGE-PLUGIN-…,
	// one a line) or one ssh private key each.
	KeyFiles []string
	// AgeKeyFiles and SSHKeyFiles are the same, under the names that sops-nix
	// and the policy's `age:` section use.
	AgeKeyFiles, SSHKeyFiles []string
	// PGPSSHKeyFiles are ssh RSA keys whose OpenPGP form, as ssh-to-pgp
	// derives it, is a recipient. Any other RSA key is tried that way too.
	PGPSSHKeyFiles []string
	// PluginsPath is searched for age-plugin-… before PATH; a list of
	// directories with ":" between them.
	PluginsPath string
	// GnupgHome is the GnuPG home directory. gpg is not asked where empty.
	GnupgHome string
	// GnupgProgram is the gpg to run, "gpg" from PATH where empty.
	GnupgProgram string
	// HelperUser runs all helpers, where given: a name or a number.
	HelperUser string
	// VaultAddresses are the servers that may be sent a Vault token. Where
	// nil, the environment of secretfs-keys decides.
	VaultAddresses []string
}

// files are the key files in the order of trying, each once.
func (c Config) files() []string {
	var out []string
	for _, path := range slices.Concat(c.KeyFiles, c.AgeKeyFiles, c.SSHKeyFiles, c.PGPSSHKeyFiles) {
		if !slices.Contains(out, path) {
			out = append(out, path)
		}
	}
	return out
}
