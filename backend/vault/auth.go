package vault

import (
	"strings"

	"github.com/secretfs/secretfs/backend/credential"
	"github.com/secretfs/secretfs/policy/conf"
)

// The methods of authentication, as `method` names them.
const (
	methodToken      = "token"
	methodTokenFile  = "token_file"
	methodAppRole    = "approle"
	methodJWT        = "jwt"
	methodCert       = "cert"
	methodUserpass   = "userpass"
	methodKubernetes = "kubernetes"
)

// Auth says how to log in. What a method does not know is empty.
type Auth struct {
	Method string
	Mount  string `json:",omitempty"` // where the method is mounted, without auth/
	// Role is the role to log in to, of method userpass the user, of approle the
	// role id where it is no credential.
	Role string `json:",omitempty"`
	// Wrapped says that Token or SecretID is a wrapping token, which gives the
	// real one once (sys/wrapping/unwrap).
	Wrapped bool `json:",omitempty"`

	Token, RoleID, SecretID, JWT, Password credential.Source
}

// authKeys are the settings of each method, besides `method`.
var authKeys = map[string][]string{
	methodToken:      {"token", "wrapped"},
	methodTokenFile:  {"file"},
	methodAppRole:    {"mount", "role_id", "secret_id", "wrapped"},
	methodJWT:        {"mount", "role", "jwt"},
	methodCert:       {"mount", "role"},
	methodUserpass:   {"mount", "username", "password"},
	methodKubernetes: {"mount", "role", "jwt"},
}

var methods = []string{methodToken, methodTokenFile, methodAppRole, methodJWT, methodCert, methodUserpass, methodKubernetes}

// serviceAccount is where a pod finds the token of its service account.
const serviceAccount = "/var/run/secrets/kubernetes.io/serviceaccount/token"

func decodeAuth(backend conf.Fields, dir string) Auth {
	method := ""
	if n := backend.Get("auth").Get("method"); n != nil {
		method = n.Text
	}
	f := backend.Map("auth", append([]string{"method"}, authKeys[method]...)...)
	a := Auth{Method: f.OneOf("method", "", methods...)}
	if f.Get("method") == nil {
		f.Addf("", "method is missing: one of %s", strings.Join(methods, ", "))
	}
	if a.Method == "" {
		return a
	}
	a.Mount = strings.Clone(strings.TrimPrefix(strings.Trim(f.Text("mount", a.Method), "/"), "auth/"))
	a.Wrapped = f.Bool("wrapped", false)
	a.credentials(f, dir)
	return a
}

func (a *Auth) credentials(f conf.Fields, dir string) {
	switch a.Method {
	case methodToken:
		a.Token = required(f, "token", dir)
	case methodTokenFile:
		a.Token = credential.Source{Kind: credential.File, Field: "token", Name: strings.Clone(f.Path("file", dir, ""))}
		if a.Token.Name == "" {
			f.Addf("file", "file is missing: where the token is, as Vault Agent writes it")
		}
	case methodAppRole:
		a.roleID(f, dir)
		a.SecretID = credential.Decode(f, "secret_id", dir)
		if a.Wrapped && !a.SecretID.Given() {
			f.Addf("wrapped", "has a meaning together with secret_id only")
		}
	case methodJWT:
		a.Role, a.JWT = strings.Clone(f.Text("role", "")), required(f, "jwt", dir)
	case methodCert:
		a.Role = strings.Clone(f.Text("role", ""))
	case methodUserpass:
		a.Role, a.Password = strings.Clone(f.Required("username")), required(f, "password", dir)
	case methodKubernetes:
		a.Role, a.JWT = strings.Clone(f.Required("role")), credential.Decode(f, "jwt", dir)
	}
}

// roleID reads what is a name rather than a secret, so that it may stand in the
// policy as it is.
func (a *Auth) roleID(f conf.Fields, dir string) {
	if n := f.Get("role_id"); n != nil && n.Kind == conf.Text {
		a.Role = strings.Clone(f.Required("role_id"))
		return
	}
	a.RoleID = required(f, "role_id", dir)
}

// required reads a credential that must be given.
func required(f conf.Fields, key, dir string) credential.Source {
	if f.Get(key) == nil {
		f.Addf("", "%s is missing", key)
	}
	return credential.Decode(f, key, dir)
}
