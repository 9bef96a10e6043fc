package keys

import "github.com/secretfs/secretfs/backend/secret"

// A Request is what a helper is told: one master key and where to find what
// opens it. The answer is the data key.
type Request struct {
	Key MasterKey `json:"key"`
	// Identities are AGE-PLUGIN-… lines, for KindPlugin.
	Identities   []string `json:"identities,omitempty"`
	PluginsPath  string   `json:"plugins_path,omitempty"`
	GnupgHome    string   `json:"gnupg_home,omitempty"`
	GnupgProgram string   `json:"gnupg_program,omitempty"`
	// Variables are the names of the secrets that go with the request, in their
	// order, for KindKeys.
	Variables []string `json:"variables,omitempty"`
	// KeyService is the socket of the key service that KindKeys is to ask instead.
	KeyService string `json:"key_service,omitempty"`

	values []*secret.Value
}
