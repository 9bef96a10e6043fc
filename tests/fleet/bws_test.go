package fleet

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/secretfs/secretfs/backend"
	"github.com/secretfs/secretfs/backend/bws"
	"github.com/secretfs/secretfs/backend/bws/bwstest"
	"github.com/secretfs/secretfs/backend/credential"
	"github.com/secretfs/secretfs/backend/secret"
)

// newSecretsManager is a fleet in which each machine has a machine account of
// its own, which may read 20 secrets.
func newSecretsManager(o options) *site {
	server := bwstest.New()
	project := server.AddProject("prod")
	s := &site{
		name: "Bitwarden Secrets Manager", ttl: bws.TTL,
		// The manual: a question each TTL, a login an hour. Values end up to a
		// tenth early, and sessions up to 15 %.
		documented: 3600/bws.TTL.Seconds()/0.9 + 1/0.85,
	}
	ids := make([]string, 20)
	for i := range ids {
		ids[i] = server.Put(project, fmt.Sprintf("secret-%d", i), fmt.Sprintf("value-%d", i), "")
		s.keys = append(s.keys, fmt.Sprintf("/name/prod/secret-%d/value", i))
	}
	s.change = func() { server.Change(ids[0], "secret-0", changedValue, "") }
	s.restart = func() {} // sessions are signed tokens: a restart forgets none
	s.wire = newWire(bwstest.Network(server), func(r *http.Request) string {
		if strings.HasSuffix(r.URL.Path, "/connect/token") {
			return "login"
		}
		return "sync"
	})
	settings := bws.Settings{
		API: "https://vault.example/api", Identity: "https://vault.example/identity",
		AccessToken: credential.Source{Kind: credential.File, Field: "access_token", Name: "/token"},
	}
	s.open = func() *backend.Resolver {
		token := server.NewToken()
		timings := backend.Timings{Default: backend.Timing{TTL: bws.TTL, MaxStale: 24 * time.Hour}}
		b := bws.New(settings, backend.Env{
			Name: "bws", Timeout: o.timeout, Timings: timings,
			Credential: func(context.Context, credential.Source) (*secret.Value, error) { return secret.From([]byte(token)) },
		}, s.wire)
		return backend.New(b, backend.Options{Name: "bws", Timeout: o.timeout, Timings: timings})
	}
	return s
}
