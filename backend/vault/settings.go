package vault

import (
	_ "embed"
	"encoding/json"
	"net/url"
	"strings"
	"time"

	"github.com/secretfs/secretfs/backend/httpc"
	"github.com/secretfs/secretfs/policy/conf"
)

// Schema is the JSON schema of what Decode and Reference read.
//
//go:embed schema.json
var Schema json.RawMessage

// TTL is how long a value is served without asking, where the policy does not say.
const TTL = 5 * time.Minute

// Settings are what the policy says about one backend of type vault.
type Settings struct {
	httpc.Settings
	Address string // of the server, without a slash at its end
	// Standbys are the addresses of other nodes of its cluster, to which it may
	// redirect.
	Standbys  []string `json:",omitempty"`
	Namespace string   `json:",omitempty"`
	Auth      Auth
}

// Decode reads Settings from an entry of `backends:` in a policy file that lies
// in dir. All problems go to report; it reads no other file.
func Decode(n *conf.Node, dir string, report *conf.Problems) any {
	f := conf.Open(n, report, append([]string{"address", "standbys", "namespace", "auth"}, httpc.Keys...)...)
	s := Settings{
		Settings: httpc.Decode(f, dir), Address: httpc.Base(f, "address", ""),
		Standbys:  f.Texts("standbys", standby),
		Namespace: strings.Clone(strings.Trim(f.Text("namespace", ""), "/")),
	}
	if f.Get("address") == nil {
		f.Addf("", "address is missing: the URL of the server, such as https://vault.example.org:8200")
	}
	s.Address = strings.TrimSuffix(s.Address, "/v1")
	if f.Get("auth") == nil {
		f.Addf("", "auth is missing: how to log in, such as {method: token_file, file: /run/vault/token}")
		return s
	}
	s.Auth = decodeAuth(f, dir)
	if s.Auth.Method == methodCert && s.CertFile == "" {
		f.Addf("auth", "the method cert needs client_cert and client_key in the backend")
	}
	return s
}

// standby says what is wrong with the address of a node.
func standby(text string) string {
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || strings.Trim(u.Path, "/") != "" || u.User != nil {
		return "want the URL of a node, without a path, such as https://vault-2.example.org:8200"
	}
	return ""
}

// Needs are the files without which a backend with such Settings does not work,
// besides those of its credentials.
func Needs(config any) []string { return config.(Settings).Files() }
