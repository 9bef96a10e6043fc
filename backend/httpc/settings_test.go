package httpc

import (
	"net/http"
	"strings"
	"testing"

	"github.com/secretfs/secretfs/policy/conf"
)

func decode(t *testing.T, text string) (Settings, string, string) {
	t.Helper()
	n, report := conf.Parse("policy.yaml", []byte("b: "+text))
	f := conf.Open(n, report, "b").Map("b", append([]string{"server"}, Keys...)...)
	s, base := Decode(f, "/etc/x"), Base(f, "server", "https://default.example")
	if err := report.Err(); err != nil {
		return s, base, err.Error()
	}
	return s, base, ""
}

func TestSettings(t *testing.T) {
	s, base, wrong := decode(t, "{server: 'https://v.example:8200/x/', ca_file: ca.pem, client_cert: /c.pem, client_key: k.pem, proxy: 'http://p:3128'}")
	want := Settings{CAFile: "/etc/x/ca.pem", CertFile: "/c.pem", KeyFile: "/etc/x/k.pem", Proxy: "http://p:3128"}
	if wrong != "" || s != want || base != "https://v.example:8200/x" {
		t.Errorf("%+v %q %s", s, base, wrong)
	}
	for text, says := range map[string]string{
		"{client_cert: a}":                        "needs client_key",
		"{client_key: a}":                         "needs client_cert",
		"{proxy: 'http://u:p@p:1'}":               "a password does not belong here",
		"{proxy: p}":                              `want "none" or the URL`,
		"{server: vault.example}":                 "want a URL",
		"{server: 'vault.example:8200'}":          "want a URL",
		"{server: 'ftp://v.example'}":             "https://",
		"{server: 'https://'}":                    "names no host",
		"{server: 'http://v.example'}":            "over http whoever is on the way to v.example",
		"{server: 'https://u:p@v.example'}":       "a password does not belong here",
		"{server: 'https://v.example?token=abc'}": "without ? or #",
	} {
		if _, _, wrong := decode(t, text); !strings.Contains(wrong, says) {
			t.Errorf("%s: %q does not say %q", text, wrong, says)
		}
	}
	for _, text := range []string{"{proxy: null}", "{server: 'http://127.0.0.1:8200'}", "{server: 'http://localhost'}", "{server: 'http://[::1]:1'}", "{proxy: none}"} {
		if _, _, wrong := decode(t, text); wrong != "" {
			t.Errorf("%s: %s", text, wrong)
		}
	}
}

func TestProxy(t *testing.T) {
	through := serve(t, func(w http.ResponseWriter, r *http.Request) { _, _ = w.Write([]byte(r.RequestURI)) })
	c := New(Config{Settings: Settings{Proxy: through}})
	if r, err := get(c, "http://far.example/x"); err != nil || string(r.Body) != "http://far.example/x" {
		t.Error(r, err)
	}
	_, err := get(New(Config{Settings: Settings{Proxy: "http://127.0.0.1:1"}}), "http://far.example/x")
	if err == nil || !strings.Contains(err.Error(), "nothing listens on the proxy 127.0.0.1:1") {
		t.Error(err)
	}
}
