package bitwarden

import (
	_ "embed"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/secretfs/secretfs/backend/bitwarden/api"
	"github.com/secretfs/secretfs/backend/bitwarden/kdf"
	"github.com/secretfs/secretfs/backend/credential"
	"github.com/secretfs/secretfs/backend/httpc"
	"github.com/secretfs/secretfs/policy/conf"
)

// Schema is the JSON schema of what Decode and Reference read.
//
//go:embed schema.json
var Schema json.RawMessage

// DefaultTTL is how often a server is asked whether the vault has changed, where
// the policy does not say.
const DefaultTTL = 5 * time.Minute

// Settings are what the policy says about one backend of type bitwarden.
type Settings struct {
	Hosts api.Hosts
	HTTP  httpc.Settings
	// Headers go with each request, besides Plain ones.
	Headers []credential.Source
	Plain   map[string]string

	Email        string
	Password     credential.Source
	ClientID     credential.Source
	KnownID      string // the client_id where it is written in the policy
	ClientSecret credential.Source
	TOTP         credential.Source

	KDFMemory int // MiB
}

var settingKeys = slices.Concat(httpc.Keys, []string{
	"server", "identity_url", "api_url", "notifications_url", "email", "password", "client_id", "client_secret", "totp",
	"headers", "kdf_memory",
})

// Decode reads Settings from an entry of `backends:` in a policy file that lies
// in dir. All problems go to report; it reads no other file.
func Decode(n *conf.Node, dir string, report *conf.Problems) any {
	f := conf.Open(n, report, settingKeys...)
	s := Settings{
		HTTP: httpc.Decode(f, dir), Email: strings.Clone(strings.TrimSpace(f.Text("email", ""))),
		Password: credential.Decode(f, "password", dir), ClientSecret: credential.Decode(f, "client_secret", dir),
		TOTP: credential.Decode(f, "totp", dir), KDFMemory: f.Count("kdf_memory", kdf.DefaultMaxMemory),
	}
	if n := f.Get("client_id"); n != nil && n.Kind == conf.Text {
		s.KnownID = strings.Clone(f.Required("client_id"))
	} else {
		s.ClientID = credential.Decode(f, "client_id", dir)
	}
	cloud := s.decodeHosts(f)
	s.decodeHeaders(f, dir)
	s.checkLogin(f, cloud)
	return s
}

func (s *Settings) decodeHosts(f conf.Fields) (cloud bool) {
	if s.Hosts, cloud = api.Cloud(f.Text("server", "us")); !cloud {
		s.Hosts = api.SelfHosted(httpc.Base(f, "server", ""))
	}
	s.Hosts.Identity = httpc.Base(f, "identity_url", s.Hosts.Identity)
	s.Hosts.API = httpc.Base(f, "api_url", s.Hosts.API)
	s.Hosts.Notifications = httpc.Base(f, "notifications_url", s.Hosts.Notifications)
	return cloud && f.Get("identity_url") == nil
}

func (s *Settings) decodeHeaders(f conf.Fields, dir string) {
	var names []string
	f.Each("headers", func(key conf.Key, _ *conf.Node) { names = append(names, key.Name) })
	if len(names) == 0 {
		return
	}
	m := f.Map("headers", names...)
	s.Plain = map[string]string{}
	for _, name := range names {
		if n := m.Get(name); n != nil && n.Kind == conf.Text {
			s.Plain[strings.Clone(name)] = strings.Clone(n.Text)
			continue
		}
		if h := credential.Decode(m, name, dir); h.Given() {
			h.Field = strings.Clone(name)
			s.Headers = append(s.Headers, h)
		}
	}
}

// byKey says that we log in with a personal API key.
func (s *Settings) byKey() bool { return s.ClientSecret.Given() }

// checkLogin says what cannot work.
func (s *Settings) checkLogin(f conf.Fields, cloud bool) {
	hasID := s.KnownID != "" || s.ClientID.Given()
	if strings.HasPrefix(s.KnownID, "organization.") {
		f.Addf("client_id", "this is the API key of an organization, which reads no vault: take the personal one of an account (user.…)")
	}
	switch {
	case hasID && !s.byKey():
		f.Addf("client_id", "client_secret is missing: an API key is both")
	case s.byKey() && !hasID:
		f.Addf("client_secret", "client_id is missing: an API key is both")
	}
	if !s.Password.Given() && f.Get("password") == nil {
		if s.byKey() {
			f.Addf("", "password is missing: the API key only shows who we are, the master password decrypts")
		} else {
			f.Addf("", "password is missing: the master password decrypts the vault")
		}
	}
	if s.byKey() {
		return
	}
	if s.Email == "" && f.Get("email") == nil {
		f.Addf("", "email is missing: without an API key (client_id, client_secret) it says whose vault it is")
	}
	attended := s.Password.Kind == credential.Ask || s.TOTP.Given()
	if cloud && !hasID && !attended && s.Password.Given() {
		f.Addf("password", "Bitwarden's cloud lets no new device in by password alone, it sends a code by mail: give an API key (client_id, client_secret), or totp")
	}
}

// Needs are the files without which a backend with such Settings does not work,
// besides those of its credentials.
func Needs(config any) []string { return config.(Settings).HTTP.Files() }
