package fleet

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/secretfs/secretfs/backend"
	"github.com/secretfs/secretfs/backend/bitwarden"
	"github.com/secretfs/secretfs/backend/bitwarden/api"
	"github.com/secretfs/secretfs/backend/bitwarden/kdf"
	"github.com/secretfs/secretfs/backend/bitwarden/vault"
	"github.com/secretfs/secretfs/backend/bws/bwstest"
	"github.com/secretfs/secretfs/backend/credential"
	"github.com/secretfs/secretfs/backend/helper"
	"github.com/secretfs/secretfs/backend/secret"
	"github.com/secretfs/secretfs/tests/bwserver"
)

const masterPassword = "correct horse battery staple"

// newQuiet is a fleet of Bitwarden whose server tells nobody of changes.
func newQuiet(t *testing.T) func(options) *site {
	return newBitwarden(t, "Bitwarden, no notifications", 12, func(s *site, server *bwserver.Server) http.RoundTripper {
		return bwstest.Network(server)
	})
}

// newPushed is one that is told.
func newPushed(t *testing.T) func(options) *site {
	return newBitwarden(t, "Bitwarden, with notifications", 1.2, func(s *site, server *bwserver.Server) http.RoundTripper {
		live := newSockets(bwstest.Network(server), server)
		s.stop = live.cut
		return live
	})
}

// newBitwarden is a fleet whose machines share one account, with an API key and a
// master password, and 50 items. Each asks so often in an hour.
func newBitwarden(t *testing.T, name string, asks float64, network func(*site, *bwserver.Server) http.RoundTripper) func(options) *site {
	server, user := bwserver.New(t), make([]byte, 64)
	rand.Read(user)
	account := server.RegisterWith(t, "me@example.test", masterPassword, kdf.Params{Type: kdf.PBKDF2, Iterations: 5000}, user)
	account.Lifetime = time.Hour
	item := func(name, password string) map[string]any {
		seal := func(text string) string { return bwserver.Seal(t, user, []byte(text)) }
		return map[string]any{
			"type": 1, "name": seal(name), "login": map[string]any{"password": seal(password)},
			"fields": nil, "notes": nil, "key": nil, "folderId": nil, "organizationId": nil,
		}
	}
	var first string
	var keys []string
	for i := range 50 {
		id := server.Add(account, item(fmt.Sprintf("item-%d", i), fmt.Sprintf("value-%d", i)))
		if i == 0 {
			first = id
		}
		keys = append(keys, vault.Ref{Item: fmt.Sprintf("item-%d", i)}.String())
	}
	settings := bitwarden.Settings{
		Hosts: api.SelfHosted("https://vault.example"), KDFMemory: kdf.DefaultMaxMemory, KnownID: account.ClientID(),
		Password:     credential.Source{Kind: credential.File, Field: "password", Name: "/a"},
		ClientSecret: credential.Source{Kind: credential.File, Field: "client_secret", Name: "/b"},
	}
	credentials := map[string]string{"password": masterPassword, "client_secret": account.ClientSecret}
	return func(o options) *site {
		s := &site{
			name: name, ttl: bitwarden.DefaultTTL, keys: keys, restart: func() {},
			// Beside questions a login, and attempts to reach a notification service.
			documented: asks + 1/0.85 + min(asks, 12),
			change: func() {
				server.Edit(t, account, first, func(c map[string]any) { c["login"] = item("", changedValue)["login"] })
			},
		}
		s.wire = newWire(network(s, server), func(r *http.Request) string {
			return r.URL.Path[strings.LastIndexByte(r.URL.Path, '/')+1:]
		})
		timings := backend.Timings{Default: backend.Timing{TTL: bitwarden.DefaultTTL, MaxStale: 24 * time.Hour}}
		s.open = func() *backend.Resolver {
			b, err := bitwarden.NewOver(settings, backend.Env{
				Name: "bw", Timeout: o.timeout, Timings: timings, Log: slog.New(slog.DiscardHandler),
				Credential: func(_ context.Context, s credential.Source) (*secret.Value, error) {
					return secret.From([]byte(credentials[s.Field]))
				},
				Helper: func(context.Context, backend.HelperCall) (net.Conn, error) {
					ours, theirs := net.Pipe()
					go helper.Answer(theirs, kdf.Solve)
					return ours, nil
				},
			}, s.wire)
			if err != nil {
				panic(err)
			}
			return backend.New(b, backend.Options{Name: "bw", Timeout: o.timeout, Timings: timings})
		}
		return s
	}
}
