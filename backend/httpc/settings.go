package httpc

import (
	"net"
	"net/url"
	"strings"

	"github.com/secretfs/secretfs/policy/conf"
)

// Keys are the settings that Decode reads. A driver adds them to its own where it
// opens the map.
var Keys = []string{"ca_file", "client_cert", "client_key", "proxy"}

// Settings say how to reach a server. Paths are absolute.
type Settings struct {
	// CAFile has the certificates (PEM) of the only authorities that are
	// trusted; those of the system if empty.
	CAFile string `json:",omitempty"`
	// CertFile and KeyFile are a certificate to show, and its key (PEM).
	CertFile, KeyFile string `json:",omitempty"`
	// Proxy is the URL of a proxy, or "none"; by default what HTTPS_PROXY,
	// HTTP_PROXY and NO_PROXY of the environment say.
	Proxy string `json:",omitempty"`
}

const noProxy = "none"

// Decode reads Settings. What is wrong goes to the problems of f.
func Decode(f conf.Fields, dir string) Settings {
	s := Settings{
		CAFile:   f.Path("ca_file", dir, ""),
		CertFile: f.Path("client_cert", dir, ""), KeyFile: f.Path("client_key", dir, ""),
		Proxy: strings.Clone(f.Text("proxy", "")),
	}
	switch {
	case s.CertFile != "" && s.KeyFile == "":
		f.Addf("client_cert", "needs client_key, the file with its private key")
	case s.KeyFile != "" && s.CertFile == "":
		f.Addf("client_key", "needs client_cert, the file with its certificate")
	}
	if s.Proxy != "" && s.Proxy != noProxy {
		if _, wrong := parse(s.Proxy); wrong != "" {
			f.Addf("proxy", `want "none" or the URL of a proxy: %s`, wrong)
		}
	}
	return s
}

// Files are those without which a client with such Settings does not work.
func (s Settings) Files() (files []string) {
	for _, file := range []string{s.CAFile, s.CertFile, s.KeyFile} {
		if file != "" {
			files = append(files, file)
		}
	}
	return files
}

// Base reads the URL of a server, or of a place on one, without a slash at its
// end; it is fallback where key is not given. Over plain HTTP tokens could be read
// on the way, so that is for servers on this machine alone.
func Base(f conf.Fields, key, fallback string) string {
	if f.Get(key) == nil {
		return fallback
	}
	text := f.Required(key)
	if text == "" {
		return fallback
	}
	u, wrong := parse(text)
	switch {
	case wrong != "":
		f.Addf(key, "%s", wrong)
		return fallback
	case u.Scheme == "http" && !loopback(u.Hostname()):
		f.Addf(key, "want https: over http whoever is on the way to %s reads tokens and secrets", u.Hostname())
		return fallback
	}
	return strings.TrimRight(u.String(), "/")
}

// parse says what is wrong with the URL of a server.
func parse(text string) (u *url.URL, wrong string) {
	u, err := url.Parse(text)
	switch {
	case err != nil, u.Opaque != "", u.Scheme == "" && u.Host == "":
		return nil, "want a URL like https://vault.example.org"
	case u.Scheme != "https" && u.Scheme != "http":
		return nil, "want a URL that begins with https://"
	case u.Hostname() == "":
		return nil, "the URL names no host"
	case u.User != nil:
		return nil, "a password does not belong here: whoever may read the policy would have it"
	case u.RawQuery != "" || u.Fragment != "":
		return nil, "the URL must end with its path, without ? or #"
	}
	return u, ""
}

// loopback says that a host is this machine.
func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}
