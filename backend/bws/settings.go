package bws

import (
	_ "embed"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/secretfs/secretfs/backend/credential"
	"github.com/secretfs/secretfs/backend/httpc"
	"github.com/secretfs/secretfs/policy/conf"
)

// Schema is the JSON schema of what Decode and Reference read.
//
//go:embed schema.json
var Schema json.RawMessage

// TTL is how long secrets are served without asking where the policy says
// nothing. The cloud allows 200 questions a minute from one address.
const TTL = 5 * time.Minute

// SecretKeys are the keys that a secret in a bws backend may have.
var SecretKeys = []string{"id", "name", "project", "field"}

// Settings are what the policy says about one backend of type bws.
type Settings struct {
	API, Identity string // URLs without a slash at the end
	AccessToken   credential.Source
	HTTP          httpc.Settings
}

// The two regions of Bitwarden's cloud have a host for each service, a server of
// one's own has paths.
const cloud = "bitwarden.com"

var clouds = []string{cloud, "bitwarden.eu"}

// Decode reads Settings from an entry of `backends:` in a policy file that lies in
// dir. All problems go to report; it reads no other file.
func Decode(n *conf.Node, dir string, report *conf.Problems) any {
	f := conf.Open(n, report, slices.Concat([]string{"server", "api_url", "identity_url", "access_token"}, httpc.Keys)...)
	s := Settings{AccessToken: credential.Decode(f, "access_token", dir), HTTP: httpc.Decode(f, dir)}
	s.AccessToken.Prompt = "Access token of the machine account"
	if f.Get("access_token") == nil {
		f.Addf("", "access_token is missing: say where the access token of the machine account comes from, like {file: token}")
	}
	s.API, s.Identity = places(httpc.Base(f, "server", "https://"+cloud))
	s.API, s.Identity = httpc.Base(f, "api_url", s.API), httpc.Base(f, "identity_url", s.Identity)
	alone := f.Get("api_url") == nil && f.Get("identity_url") != nil || f.Get("api_url") != nil && f.Get("identity_url") == nil
	switch {
	case f.Get("server") == nil && alone:
		f.Addf("", "api_url and identity_url belong together; where both are on one server, give server alone")
	case f.Get("server") != nil && f.Get("api_url") != nil && f.Get("identity_url") != nil:
		f.Addf("server", "says what api_url and identity_url say already")
	}
	return s
}

// places are where the services of a server are.
func places(server string) (api, identity string) {
	for _, host := range clouds {
		switch server {
		case "https://" + host, "https://vault." + host:
			return "https://api." + host, "https://identity." + host
		}
	}
	return server + "/api", server + "/identity"
}

// Needs are the files without which a backend with such Settings does not work,
// besides those of its credentials.
func Needs(config any) []string { return config.(Settings).HTTP.Files() }

// Reference is the key of a secret in `secrets:`: an `id`, or a `name`, by default
// the path of the secret, and perhaps its `project`, by name or id.
func Reference(f conf.Fields, path string, _ any) string {
	if f.Get("key") != nil {
		f.Addf("key", "name the secret with id, or with name and project")
	}
	r := ref{
		id: strings.ToLower(f.Text("id", "")), project: f.Text("project", ""), name: f.Text("name", ""),
		field: f.OneOf("field", fieldValue, fieldValue, fieldNote, fieldName, "key"),
	}
	if r.field == "key" { // which the protocol calls it
		r.field = fieldName
	}
	switch {
	case r.id != "" && (r.name != "" || r.project != ""):
		f.Addf("id", "an id needs no name and no project")
	case f.Get("id") != nil && !isUUID(r.id):
		f.Addf("id", "want the id of a secret, like be8e0ad8-d545-4017-a55a-b02f014d4158")
	case r.id == "" && r.name == "":
		r.name = path
	}
	return r.key()
}
