package keys

// The kinds of helper.
const (
	KindGPG    = "gpg"    // runs gpg
	KindPlugin = "plugin" // runs age plugins
	KindKeys   = "keys"   // the program secretfs-keys
	// KindPassphrase opens key files that take a passphrase.
	KindPassphrase = "passphrase"
)
