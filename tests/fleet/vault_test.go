package fleet

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/secretfs/secretfs/backend"
	"github.com/secretfs/secretfs/backend/bws/bwstest"
	"github.com/secretfs/secretfs/backend/credential"
	"github.com/secretfs/secretfs/backend/secret"
	"github.com/secretfs/secretfs/backend/vault"
)

const (
	vaultSecrets = 5         // on each machine
	tokenLife    = time.Hour // renewable
)

// newVault is a fleet that logs in to Vault with AppRole and reads KV version 2.
// The real server cannot live in simulated time; this one answers what the driver
// asks in such an hour, and what it answers is as the real one does (backend/vault is
// tested against that).
func newVault(o options) *site {
	server := &kv{values: map[string]string{}, versions: map[string]int{}}
	s := &site{
		name: fmt.Sprintf("Vault, %d secrets", vaultSecrets), ttl: vault.TTL,
		// A question a secret and TTL, a renewal at two thirds of the token's life.
		documented: vaultSecrets*time.Hour.Seconds()/vault.TTL.Seconds()/0.9 + time.Hour.Seconds()/tokenLife.Seconds()/0.62,
		restart:    func() {}, // tokens are in its storage
	}
	for i := range vaultSecrets {
		path := fmt.Sprintf("kv/apps/%d", i)
		server.put(path, fmt.Sprintf("value-%d", i))
		s.keys = append(s.keys, path+"#value")
	}
	s.change = func() { server.put("kv/apps/0", changedValue) }
	s.wire = newWire(bwstest.Network(server), func(r *http.Request) string {
		switch {
		case strings.Contains(r.URL.Path, "/auth/"):
			return "login or renewal"
		case strings.Contains(r.URL.Path, "/mounts/"):
			return "mount"
		}
		return "read"
	})
	config := vault.Config{
		Settings: vault.Settings{Address: "https://vault.example", Auth: vault.Auth{
			Method: "approle", Mount: "approle", Role: "role", SecretID: credential.Source{Kind: credential.File, Field: "secret_id", Name: "/id"},
		}},
		Timeout: o.timeout, Transport: s.wire, Log: slog.New(slog.DiscardHandler),
		Timings: backend.Timings{Default: backend.Timing{TTL: vault.TTL, MaxStale: 24 * time.Hour}},
		Credential: func(context.Context, credential.Source) (*secret.Value, error) {
			return secret.From([]byte("secret-id"))
		},
	}
	s.open = func() *backend.Resolver {
		b, err := vault.New(config)
		if err != nil {
			panic(err)
		}
		return backend.New(b, backend.Options{Name: "vault", Timeout: o.timeout, Timings: config.Timings})
	}
	return s
}

// A kv is a server with the engine kv, version 2, and the method approle.
type kv struct {
	mu       sync.Mutex
	values   map[string]string
	versions map[string]int
}

func (k *kv) put(path, value string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.values[path] = value
	k.versions[path]++
}

func (k *kv) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	path := strings.TrimPrefix(r.URL.Path, "/v1/")
	w.Header().Set("Content-Type", "application/json")
	switch {
	case path == "auth/approle/login", path == "auth/token/renew-self":
		answer(w, "auth", map[string]any{
			"client_token": "hvs.test", "accessor": "a", "policies": []string{"app"}, "lease_duration": int(tokenLife.Seconds()), "renewable": true,
		})
	case strings.HasPrefix(path, "sys/internal/ui/mounts/"):
		answer(w, "data", map[string]any{"path": "kv/", "type": "kv", "options": map[string]string{"version": "2"}})
	case strings.HasPrefix(path, "kv/data/"):
		k.mu.Lock()
		at := strings.Replace(path, "kv/data/", "kv/", 1)
		value, version := k.values[at], k.versions[at]
		k.mu.Unlock()
		answer(w, "data", map[string]any{
			"data": map[string]string{"value": value}, "metadata": map[string]any{"version": version, "created_time": "2026-01-01T00:00:00Z"},
		})
	default:
		w.WriteHeader(http.StatusNotFound)
		answer(w, "errors", []string{})
	}
}

func answer(w http.ResponseWriter, key string, value any) {
	_ = json.NewEncoder(w).Encode(map[string]any{key: value}) // into memory
}
