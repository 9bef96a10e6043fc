package api

import (
	"strings"
)

// Hosts are the base addresses of one server's services, without a slash at the
// end.
type Hosts struct {
	Identity, API, Notifications string
}

// clouds are Bitwarden's own servers by the names people give them.
var clouds = map[string]string{
	"us": ".bitwarden.com", "bitwarden.com": ".bitwarden.com", "vault.bitwarden.com": ".bitwarden.com",
	"eu": ".bitwarden.eu", "bitwarden.eu": ".bitwarden.eu", "vault.bitwarden.eu": ".bitwarden.eu",
}

// Cloud gives the services of Bitwarden's own servers by name, "us" or "eu", or
// by the address of their web vault.
func Cloud(server string) (h Hosts, ok bool) {
	name := strings.ToLower(strings.TrimPrefix(strings.TrimRight(server, "/"), "https://"))
	domain, ok := clouds[name]
	if !ok {
		return h, false
	}
	return Hosts{"https://identity" + domain, "https://api" + domain, "https://notifications" + domain}, true
}

// SelfHosted gives the services of a server of one's own, Vaultwarden included.
func SelfHosted(base string) Hosts {
	return Hosts{base + "/identity", base + "/api", base + "/notifications"}
}
