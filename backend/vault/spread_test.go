package vault_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/secretfs/secretfs/backend"
	"github.com/secretfs/secretfs/backend/credential"
	"github.com/secretfs/secretfs/backend/secret"
	"github.com/secretfs/secretfs/backend/vault"
)

// A memory is a server without a network, of one database whose leases last an hour
// and can be renewed. It notes when it was asked for what.
type memory struct {
	mu    sync.Mutex
	asked map[string][]time.Time
	n     int
}

func (m *memory) RoundTrip(r *http.Request) (*http.Response, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.n++
	path := strings.TrimPrefix(r.URL.Path, "/v1/")
	m.asked[path] = append(m.asked[path], time.Now())
	body := `{}`
	switch path {
	case "auth/userpass/login/app":
		body = `{"auth":{"client_token":"hvs.memory","accessor":"a","lease_duration":0}}`
	case "sys/internal/ui/mounts/db/creds/x":
		body = `{"data":{"path":"db/","type":"database"}}`
	case "db/creds/x":
		body = fmt.Sprintf(`{"lease_id":"db/creds/x/%d","lease_duration":3600,"renewable":true,"data":{"username":"u%d","password":"p%d"}}`, m.n, m.n, m.n)
	case "sys/leases/renew":
		body = `{"lease_id":"same","lease_duration":3600,"renewable":true}`
	}
	return &http.Response{StatusCode: http.StatusOK, Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(strings.NewReader(body)), Request: r}, nil
}

// TestRenewalsAreSpread: many machines that started together do not renew together,
// and none of them later than at 0.7 of a lease or oftener than needed.
func TestRenewalsAreSpread(t *testing.T) {
	settings := decode(t, "{address: 'https://v.example', auth: {method: userpass, username: app, password: {ask: true}}}")
	synctest.Test(t, func(t *testing.T) {
		const machines, hours = 200, 10
		m := &memory{asked: map[string][]time.Time{}}
		start := time.Now()
		for range machines {
			b, err := vault.New(vault.Config{
				Settings: settings, Transport: m,
				Credential: func(context.Context, credential.Source) (*secret.Value, error) { return secret.From([]byte("pw")) },
			})
			must(t, err)
			defer b.Close()
			s, err := b.Get(t.Context(), "db/creds/x#username")
			must(t, err)
			s.Value.Destroy()
		}
		time.Sleep(hours * time.Hour)
		synctest.Wait()
		renewals := m.asked["sys/leases/renew"]
		perMinute := map[time.Duration]int{}
		for _, at := range renewals {
			since := at.Sub(start)
			perMinute[since.Truncate(time.Minute)]++
			if since < 37*time.Minute {
				t.Fatalf("renewed after %s", since)
			}
		}
		for minute, n := range perMinute {
			if n > machines/3 {
				t.Errorf("%d of %d machines renew in minute %s", n, machines, minute)
			}
		}
		if least, most := machines*hours*60/43, machines*hours*60/36; len(renewals) < least || len(renewals) > most {
			t.Errorf("%d renewals, want %d to %d", len(renewals), least, most)
		}
		if n := len(m.asked["db/creds/x"]); n != machines {
			t.Errorf("%d leases for %d machines", n, machines)
		}
	})
}

// TestLoginIsLeftAlone: a wrong password is not tried at every read.
func TestLoginIsLeftAlone(t *testing.T) {
	settings := decode(t, "{address: 'https://v.example', auth: {method: userpass, username: app, password: {ask: true}}}")
	synctest.Test(t, func(t *testing.T) {
		tries := 0
		b, err := vault.New(vault.Config{
			Settings: settings,
			Transport: transport(func(r *http.Request) *http.Response {
				tries++
				return &http.Response{StatusCode: http.StatusBadRequest, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(`{"errors":["invalid username or password"]}`)), Request: r}
			}),
			Credential: func(context.Context, credential.Source) (*secret.Value, error) { return secret.From([]byte("pw")) },
		})
		must(t, err)
		defer b.Close()
		for range 3600 {
			_, err := b.Get(t.Context(), "db/creds/x#username")
			says(t, err, backend.ErrRejected, "invalid username or password")
			time.Sleep(time.Second)
		}
		if tries < 5 || tries > 40 {
			t.Errorf("%d logins in an hour", tries)
		}
	})
}

type transport func(r *http.Request) *http.Response

func (f transport) RoundTrip(r *http.Request) (*http.Response, error) { return f(r), nil }

// TestSlowServerAtTheEnd: while a reader waits for another lease in the place of one
// that has ended, nothing runs in circles. In simulated time that would be for ever.
func TestSlowServerAtTheEnd(t *testing.T) {
	settings := decode(t, "{address: 'https://v.example', auth: {method: userpass, username: app, password: {ask: true}}}")
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		answer := func(r *http.Request, status int, body string) *http.Response {
			return &http.Response{StatusCode: status, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(body)), Request: r}
		}
		b, err := vault.New(vault.Config{
			Settings: settings, Timeout: time.Minute,
			Transport: transport(func(r *http.Request) *http.Response {
				since := time.Since(start)
				switch path := strings.TrimPrefix(r.URL.Path, "/v1/"); {
				case strings.HasPrefix(path, "auth/"):
					return answer(r, http.StatusOK, `{"auth":{"client_token":"hvs.memory","accessor":"a"}}`)
				case strings.HasPrefix(path, "sys/"):
					return answer(r, http.StatusOK, `{"data":{"path":"db/","type":"database"}}`)
				case since >= 10*time.Second:
					time.Sleep(5 * time.Second)
				case since > 0:
					return answer(r, http.StatusInternalServerError, `{"errors":["no"]}`)
				}
				return answer(r, http.StatusOK, fmt.Sprintf(`{"lease_id":"%s/%d","lease_duration":10,"data":{"username":"u"}}`, r.URL.Path, since))
			}),
			Credential: func(context.Context, credential.Source) (*secret.Value, error) { return secret.From([]byte("pw")) },
		})
		must(t, err)
		defer b.Close()
		read := func(i int) {
			s, err := b.Get(t.Context(), fmt.Sprintf("db/creds/%d#username", i))
			if err != nil {
				t.Error(err)
				return
			}
			s.Value.Destroy()
		}
		const leases = 20
		var wg sync.WaitGroup
		for i := range leases {
			read(i)
			wg.Go(func() {
				time.Sleep(10 * time.Second)
				read(i)
			})
		}
		wg.Wait()
	})
}
