package vault_test

import (
	"testing"
	"time"

	"github.com/secretfs/secretfs/backend"
	"github.com/secretfs/secretfs/backend/vault"
	"github.com/secretfs/secretfs/tests/vaultd"
)

// ready is a server with a secret, and a policy "app" that may read it.
func ready(t *testing.T) *vaultd.Server {
	t.Helper()
	s := vaultd.Start(t, "")
	putKV2(t, s, "app", map[string]any{"key": "the value of app"})
	s.Policy(t, "app", "secret/data/app read")
	return s
}

const theKey, theValue = "{path: secret/app, field: key}", "the value of app"

func TestToken(t *testing.T) {
	t.Parallel()
	s := ready(t)
	p := open(t, s.Address, byToken, map[string]string{})
	p.fails(theKey, backend.ErrLocked, "no token is at hand")
	p.give("token", "hvs.nonsense-nonsense")
	p.fails(theKey, backend.ErrRejected, "the token is unknown to the server: it was revoked, or has run out")
	// Without what goes on in the background with the token while it counts as good.
	requests := func() int { return s.Requests(t, "", "auth/token/lookup-self", "sys/events/") }
	asked := requests()
	p.fails(theKey, backend.ErrRejected, "the token is unknown to the server")
	if n := requests() - asked; n != 0 {
		t.Errorf("a dead token was tried again, in %d requests", n)
	}
	first := s.Token(t, nil, "app")
	p.give("token", first)
	p.reads(theKey, theValue)
	putKV2(t, s, "other", map[string]any{"key": "x"})
	p.fails("{path: secret/other, field: key}", backend.ErrRejected, "the token is good, but no policy of it (app, default) allows to read secret/data/other")
	s.Do(t, "POST", "auth/token/revoke", map[string]string{"token": first})
	p.fails(theKey, backend.ErrRejected, "revoked")
	p.give("token", s.Token(t, nil, "app"))
	p.reads(theKey, theValue)
	s.Policy(t, "app", "nothing read")
	p.fails(theKey, backend.ErrRejected, "the token is good, but no policy of it (app, default)")
	s.Policy(t, "app", "secret/data/app read")
	p.reads(theKey, theValue)
}

func TestTokenRenewal(t *testing.T) {
	t.Parallel()
	s := ready(t)
	p := open(t, s.Address, byToken, map[string]string{
		"token": s.Token(t, map[string]any{"ttl": "4s", "explicit_max_ttl": "9s"}, "app"),
	})
	p.reads(theKey, theValue)
	time.Sleep(5 * time.Second)
	p.reads(theKey, theValue) // renewed
	time.Sleep(5 * time.Second)
	p.fails(theKey, backend.ErrExpired, "the token ran out at 2")
	if n := s.Requests(t, "auth/token/renew-self"); n < 2 {
		t.Errorf("renewed %d times", n)
	}
	p.give("token", s.Token(t, nil, "app"))
	p.reads(theKey, theValue)
}

// TestTokenReplaced: the next token is taken before the old one ends.
func TestTokenReplaced(t *testing.T) {
	t.Parallel()
	s := ready(t)
	p := open(t, s.Address, byToken, map[string]string{"token": s.Token(t, map[string]any{"ttl": "3s", "renewable": false}, "app")})
	p.reads(theKey, theValue)
	p.give("token", s.Token(t, nil, "app"))
	time.Sleep(3500 * time.Millisecond)
	p.reads(theKey, theValue)
}

func TestWrappedToken(t *testing.T) {
	t.Parallel()
	s := ready(t)
	wrapped := func() string {
		return vaultd.Text(t, s.Do(t, "POST", "auth/token/create\nX-Vault-Wrap-TTL: 60s", map[string]any{"policies": []string{"app"}}), "wrap_info", "token")
	}
	p := open(t, s.Address, "auth: {method: token, token: {ask: true}, wrapped: true}", map[string]string{"token": wrapped()})
	p.reads(theKey, theValue)
	p.next()
	p.reads(theKey, theValue)
	if n := s.Requests(t, "sys/wrapping/unwrap"); n != 1 {
		t.Errorf("unwrapped %d times", n)
	}
	check := p.cfg // as of secretfs check, which keeps nothing
	check.Save = nil
	b, err := vault.New(check)
	must(t, err)
	defer b.Close()
	p.give("token", wrapped())
	_, err = b.Get(limited(t), key(t, theKey))
	says(t, err, backend.ErrLocked, "good for one use, which is left to the mount")
	stolen := wrapped()
	s.Try(t, stolen, "POST", "sys/wrapping/unwrap", nil)
	p = open(t, s.Address, "auth: {method: token, token: {ask: true}, wrapped: true}", map[string]string{"token": stolen})
	p.fails(theKey, backend.ErrRejected, "unwrapping the token from secretfs unlock: the wrapping token has run out or was used already")
	p.give("token", wrapped())
	p.reads(theKey, theValue)
}

// appRole makes a role and gives its role id.
func appRole(t *testing.T, s *vaultd.Server, settings map[string]any) string {
	t.Helper()
	s.Do(t, "POST", "sys/auth/approle", map[string]string{"type": "approle"})
	settings["token_policies"] = "app"
	s.Do(t, "POST", "auth/approle/role/app", settings)
	return vaultd.Text(t, s.Do(t, "GET", "auth/approle/role/app/role-id", nil), "data", "role_id")
}

func secretID(t *testing.T, s *vaultd.Server) string {
	t.Helper()
	return vaultd.Text(t, s.Do(t, "POST", "auth/approle/role/app/secret-id", nil), "data", "secret_id")
}

func TestAppRole(t *testing.T) {
	t.Parallel()
	s := ready(t)
	role := appRole(t, s, map[string]any{"token_ttl": "2s", "token_max_ttl": "4s"})
	p := open(t, s.Address, "auth: {method: approle, role_id: "+role+", secret_id: {ask: true}}", map[string]string{"secret_id": "wrong-wrong-wrong"})
	p.fails(theKey, backend.ErrRejected, "logging in at auth/approle/login: the server does not take the request (status 400: invalid role or secret ID)")
	tries := s.Requests(t, "auth/approle/login")
	p.fails(theKey, backend.ErrRejected, "not tried again for ")
	if n := s.Requests(t, "auth/approle/login") - tries; n != 0 {
		t.Errorf("%d more logins", n)
	}
	p.give("secret_id", secretID(t, s))
	must(t, p.Refresh(limited(t)))
	for end := time.Now().Add(6 * time.Second); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		p.reads(theKey, theValue) // over renewals and the maximum of a token
	}
	logins := s.Requests(t, "auth/approle/login") - tries
	if renewals := s.Requests(t, "auth/token/renew-self"); logins < 2 || logins > 4 || renewals < 1 || renewals > 8 {
		t.Errorf("%d logins, %d renewals", logins, renewals)
	}
}

func TestAppRoleWrapped(t *testing.T) {
	t.Parallel()
	s := ready(t)
	role := appRole(t, s, map[string]any{"token_ttl": "1h"})
	wrapped := vaultd.Text(t, s.Do(t, "POST", "auth/approle/role/app/secret-id\nX-Vault-Wrap-TTL: 60s", nil), "wrap_info", "token")
	p := open(t, s.Address, "auth: {method: approle, role_id: {ask: true}, secret_id: {ask: true}, wrapped: true}",
		map[string]string{"role_id": role, "secret_id": wrapped})
	p.reads(theKey, theValue)
	s.Do(t, "POST", "auth/token/revoke-accessor", map[string]string{"accessor": accessor(t, s)})
	p.reads(theKey, theValue) // the secret id that was unwrapped is kept
	p.next()
	p.reads(theKey, theValue)
	if unwraps, logins := s.Requests(t, "sys/wrapping/unwrap"), s.Requests(t, "auth/approle/login"); unwraps != 1 || logins != 2 {
		t.Errorf("%d unwraps, %d logins", unwraps, logins)
	}
}

// accessor is that of the one token that a login has given.
func accessor(t *testing.T, s *vaultd.Server) string {
	t.Helper()
	all, _ := s.Do(t, "LIST", "auth/token/accessors", nil)["data"].(map[string]any)["keys"].([]any)
	for _, a := range all {
		info := s.Do(t, "POST", "auth/token/lookup-accessor", map[string]any{"accessor": a})
		if vaultd.Text(t, info, "data", "path") == "auth/approle/login" {
			return a.(string)
		}
	}
	t.Fatal("there is no token")
	return ""
}

func TestUserpass(t *testing.T) {
	t.Parallel()
	s := ready(t)
	s.Do(t, "POST", "sys/auth/people", map[string]string{"type": "userpass"})
	s.Do(t, "POST", "auth/people/users/ann", map[string]string{"password": "correct horse battery", "token_policies": "app"})
	p := open(t, s.Address, "auth: {method: userpass, mount: people, username: ann, password: {ask: true}}", map[string]string{"password": "correct horse battery"})
	p.reads(theKey, theValue)
	p = open(t, s.Address, "auth: {method: userpass, username: ann, password: {ask: true}}", map[string]string{"password": "correct horse battery"})
	p.fails(theKey, backend.ErrRejected, "logging in at auth/userpass/login/ann: ")
}
