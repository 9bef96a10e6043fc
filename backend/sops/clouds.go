package sops

import (
	"net/url"
	"path/filepath"
	"strings"

	"github.com/secretfs/secretfs/backend/credential"
	"github.com/secretfs/secretfs/backend/sops/keys"
	"github.com/secretfs/secretfs/policy/conf"
)

// An identity reads what one cloud is told about who asks.
type identity struct {
	f     conf.Fields
	dir   string
	cloud keys.Cloud
}

// borrow reads a credential.
func (i *identity) borrow(key, variable string) bool {
	s := credential.Decode(i.f, key, i.dir)
	if s.Given() {
		i.cloud.Credentials = append(i.cloud.Credentials, keys.Credential{Variable: variable, Source: s})
	}
	return i.f.Get(key) != nil
}

// tell reads what is no secret.
func (i *identity) tell(key, variable string) bool {
	if text := i.f.Text(key, ""); text != "" {
		i.cloud.Credentials = append(i.cloud.Credentials, keys.Credential{Variable: variable, Value: strings.Clone(text)})
	}
	return i.f.Get(key) != nil
}

func (s *Settings) add(c keys.Cloud) {
	if len(c.Credentials) > 0 {
		s.Keys.Clouds = append(s.Keys.Clouds, c)
	}
}

// clouds reads the credentials for the KMS of the three clouds.
func (s *Settings) clouds(f conf.Fields, dir string) {
	aws := identity{f.Map("aws", "access_key_id", "secret_access_key", "session_token"), dir, keys.Cloud{Type: keys.AWSKMS}}
	id, secret := aws.borrow("access_key_id", "AWS_ACCESS_KEY_ID"), aws.borrow("secret_access_key", "AWS_SECRET_ACCESS_KEY")
	if session := aws.borrow("session_token", "AWS_SESSION_TOKEN"); (id || secret || session) && !(id && secret) {
		aws.f.Addf("", "want access_key_id and secret_access_key")
	}
	s.add(aws.cloud)

	gcp := identity{f.Map("gcp", "credentials", "access_token"), dir, keys.Cloud{Type: keys.GCPKMS}}
	account, token := gcp.borrow("credentials", "GOOGLE_CREDENTIALS"), gcp.borrow("access_token", "GOOGLE_OAUTH_ACCESS_TOKEN")
	if account && token {
		gcp.f.Addf("access_token", "want one of credentials, which is the JSON of a service account, and access_token")
	}
	s.add(gcp.cloud)

	azure := identity{f.Map("azure", "tenant_id", "client_id", "client_secret"), dir, keys.Cloud{Type: keys.AzureKV}}
	tenant, client := azure.tell("tenant_id", "AZURE_TENANT_ID"), azure.tell("client_id", "AZURE_CLIENT_ID")
	if secret := azure.borrow("client_secret", "AZURE_CLIENT_SECRET"); (tenant || client || secret) && !(tenant && client && secret) {
		azure.f.Addf("", "want tenant_id, client_id and client_secret")
	}
	s.add(azure.cloud)
}

// vault reads which servers of Vault are sent a token, and which.
func (s *Settings) vault(f conf.Fields, dir string) {
	if f.Get("addresses") != nil {
		s.Keys.VaultAddresses = append([]string{}, f.Texts("addresses", checkVaultAddress)...)
	}
	if f.Get("address") != nil {
		address := strings.Clone(f.Text("address", ""))
		if msg := checkVaultAddress(address); msg != "" {
			f.Addf("address", "%s", msg)
		}
		s.Keys.VaultAddresses = append(s.Keys.VaultAddresses, address)
	}
	vault := identity{f, dir, keys.Cloud{Type: keys.VaultTransit}}
	switch given := vault.borrow("token", "VAULT_TOKEN"); {
	case given && s.Keys.VaultAddresses == nil:
		f.Addf("token", "goes to no server unless address names one: whoever may write the encrypted file must not get it")
	case !given && f.Get("namespace") != nil:
		f.Addf("namespace", "has a meaning together with a token only")
	case given:
		vault.tell("namespace", "VAULT_NAMESPACE")
	}
	s.add(vault.cloud)
}

// checkVaultAddress says what is wrong with an address. Others could mean
// something else in sops' own list of them.
func checkVaultAddress(address string) string {
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || strings.ContainsAny(address, ", ") {
		return "expected the address of a Vault server, such as https://vault.example.org:8200"
	}
	return ""
}

// keyService reads the socket of a key service. sops asks by TCP too, where nobody
// knows who asks.
func keyService(f conf.Fields) string {
	if f.Get("keyservice") == nil {
		return ""
	}
	text := f.Text("keyservice", "")
	path, ok := strings.CutPrefix(text, "unix://")
	if !ok || !filepath.IsAbs(path) {
		f.Addf("keyservice", "want unix:///path/to/socket, have %q", text)
		return ""
	}
	return strings.Clone(filepath.Clean(path))
}
