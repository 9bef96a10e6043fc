package bitwarden_test

import (
	"errors"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/secretfs/secretfs/backend"
	"github.com/secretfs/secretfs/backend/backendtest"
	"github.com/secretfs/secretfs/backend/bitwarden"
	"github.com/secretfs/secretfs/backend/bitwarden/api"
	"github.com/secretfs/secretfs/tests/bwserver"
	"github.com/secretfs/secretfs/tests/vaultd"
)

func TestSuite(t *testing.T) {
	const first, second = "first-canary-of-db", "second-canary-of-mail"
	fill := func(w *world) map[string]string {
		return map[string]string{"item:" + w.add("db", first): first, "item:" + w.add("mail", second): second}
	}
	backendtest.Run(t, func(t *testing.T) backendtest.Fixture {
		w := newWorld(t)
		w.stateless = true // what a holder keeps is not counted against the backend
		secrets := fill(w)
		server := func(t *testing.T) backendtest.Server {
			const ttl = 10 * time.Millisecond
			w.server.Hook(hubless)
			way := vaultd.Through(t, w.server.URL)
			cfg, env := w.cfg, w.env()
			cfg.Hosts, env.Timings.Default.TTL = api.SelfHosted(way.Address), ttl
			return backendtest.Server{
				Backend: again(t, cfg, env), Key: slices.Sorted(maps.Keys(secrets))[0],
				Cut: func() {
					way.Cut()
					time.Sleep(2 * ttl) // until then nobody would ask the server
				},
				Stall: func() { way.Stall(t) }, Mend: func() { way.Mend(t) },
			}
		}
		return backendtest.Fixture{
			Secrets: secrets, Backend: w.open(), Missing: "item:nothing",
			Corrupt: func(t *testing.T) (backend.Backend, string) {
				w := newWorld(t)
				fill(w)
				id := w.add("damaged", "what nobody can read")
				w.server.Edit(t, w.account, id, func(c map[string]any) {
					c["login"].(map[string]any)["password"] = bwserver.Seal(t, make([]byte, 64), []byte("forged"))
				})
				return w.open(), "item:damaged"
			},
			Locked: func(t *testing.T) (backend.Backend, string) {
				w := newWorld(t)
				fill(w)
				w.set("password", "")
				return w.open(), "item:db"
			},
			Denied: func(t *testing.T) (backend.Backend, string) {
				w := newWorld(t)
				fill(w)
				w.set("client_secret", "a-secret-of-nobody")
				return w.open(), "item:db"
			},
			Server: server, Slow: server,
			Reopen: func(t *testing.T, slot backend.Slot) backend.Backend {
				env := w.env()
				env.State = slot
				return again(t, w.cfg, env)
			},
			Place: "items", Tokens: []string{password, w.account.ClientSecret}, Log: w.logged,
		}
	})
}

// again opens a backend, which the suite closes.
func again(t *testing.T, cfg bitwarden.Settings, env backend.Env) backend.Backend {
	t.Helper()
	b, err := bitwarden.New(cfg, env)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestLoginByKey(t *testing.T) {
	w := newWorld(t)
	w.add("db", "hunter2hunter2")
	b := w.open()
	for range 3 {
		want(t, b, "item:db", "hunter2hunter2")
	}
	want(t, b, "item:DB?field=username", "user of db")
	if info, err := b.Stat(t.Context(), "item:db"); err != nil || info.Size != int64(len("hunter2hunter2")) {
		t.Errorf("%+v, %v", info, err)
	}
	if n := w.server.Logins(); n != 1 {
		t.Errorf("%d logins", n)
	}
	if n := w.server.Count("GET /api/sync"); n != 1 {
		t.Errorf("the vault was fetched %d times", n)
	}
	if st, err := b.State(); st != backend.Ready || err != nil {
		t.Errorf("state %v, %v", st, err)
	}
}

func TestLoginByPassword(t *testing.T) {
	w := newWorld(t)
	w.byPassword()
	w.add("db", "hunter2hunter2")
	b := w.open()
	want(t, b, "item:db", "hunter2hunter2")
	if n, d := w.server.Logins(), w.derivations(); n != 1 || d != 1 {
		t.Errorf("%d logins, %d derivations", n, d)
	}
}

var _ backend.Opener = bitwarden.Open

func TestNothingIsLearntFromErrors(t *testing.T) {
	w := newWorld(t)
	w.add("db", "hunter2hunter2")
	w.set("password", "Tr0ub4dor&3-not-this")
	b := w.open()
	_, _, err := get(t, b, "item:db")
	if !errors.Is(err, backend.ErrRejected) {
		t.Fatal(err)
	}
	if backendtest.Leaks(err.Error()+w.logged(), "Tr0ub4dor&3-not-this", w.account.ClientSecret, w.account.Hash) {
		t.Error("a secret is in the error or in the log")
	}
}
