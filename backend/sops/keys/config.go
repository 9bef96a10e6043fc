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
	// Clouds are credentials for master keys in clouds. Of a kind that is not
	// among them the environment of secretfs-keys decides.
	Clouds []Cloud
	// KeyService is the socket of a key service, as `sops keyservice` runs one:
	// it is asked for what nothing else opens. Empty where there is none.
	KeyService string
}

// identifies says that there are credentials for that kind of master key.
func (c *Config) identifies(typ Type) bool {
	return slices.ContainsFunc(c.Clouds, func(cloud Cloud) bool { return cloud.Type == typ })
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
