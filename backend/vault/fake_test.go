package vault_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/secretfs/secretfs/backend"
)

// forward hands a request on to the server at address.
func forward(w http.ResponseWriter, r *http.Request, address string) {
	req, err := http.NewRequestWithContext(r.Context(), r.Method, address+r.URL.RequestURI(), r.Body)
	if err != nil {
		panic(err)
	}
	req.Header = r.Header
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	defer resp.Body.Close()
	for name, values := range resp.Header {
		w.Header()[name] = values
	}
	w.WriteHeader(resp.StatusCode)
	_, _ = io.Copy(w, resp.Body)
}

func deadline(t *testing.T, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

// TestKubernetesAndNamespaces goes by the documentation: the build of Vault that the
// tests have knows neither. (api-docs/auth/kubernetes, concepts/namespaces)
func TestKubernetesAndNamespaces(t *testing.T) {
	t.Parallel()
	fake := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.Header().Set("Content-Type", "application/json")
		switch {
		case r.Header.Get("X-Vault-Namespace") != "team/a" || r.Header.Get("X-Vault-Request") != "true":
			status(404, "no handler for route", "")(w)
		case r.Method == "POST" && r.URL.Path == "/v1/auth/k8s/login":
			if string(body) != `{"jwt":"jwt of the pod","role":"app"}` {
				status(403, "permission denied", "")(w)
				return
			}
			_, _ = io.WriteString(w, `{"auth":{"client_token":"hvs.of-kubernetes","accessor":"a","policies":["app"],"lease_duration":3600,"renewable":true}}`)
		case r.Header.Get("X-Vault-Token") != "hvs.of-kubernetes":
			status(403, "permission denied", "")(w)
		case r.URL.Path == "/v1/sys/internal/ui/mounts/kv/app":
			_, _ = io.WriteString(w, `{"data":{"path":"kv/","type":"kv","options":{"version":"2"}}}`)
		case r.URL.Path == "/v1/kv/data/app":
			_, _ = io.WriteString(w, `{"data":{"data":{"key":"in a namespace"},"metadata":{"version":1,"created_time":"2026-01-02T03:04:05.6Z","deletion_time":""}}}`)
		default:
			status(404, "", "")(w)
		}
	}))
	t.Cleanup(fake.Close)
	const auth = "auth: {method: kubernetes, mount: k8s, role: app, jwt: {ask: true}}"
	p := open(t, fake.URL, auth+", namespace: /team/a/", map[string]string{"jwt": "jwt of the pod"})
	p.reads("{path: kv/app, field: key}", "in a namespace")
	p = open(t, fake.URL, auth, map[string]string{"jwt": "jwt of the pod"})
	p.fails("{path: kv/app, field: key}", backend.ErrRejected, "no method is mounted there, or not this one")
	p = open(t, fake.URL, "auth: {method: kubernetes, role: app}, namespace: team/a", nil)
	p.fails("{path: kv/app, field: key}", backend.ErrLocked, "reading the token of the service account (is this a pod? else name it with jwt)")
}
