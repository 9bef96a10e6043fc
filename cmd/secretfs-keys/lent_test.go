package main

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/secretfs/secretfs/backend"
	"github.com/secretfs/secretfs/backend/credential"
	"github.com/secretfs/secretfs/backend/secret"
	"github.com/secretfs/secretfs/backend/sops/keys"
	"github.com/secretfs/secretfs/backend/sops/keys/keystest"
)

// A purse has credentials by the name of what they are.
type purse struct {
	mu     sync.Mutex
	values map[string]string
	forgot []string
}

func (p *purse) lender() keys.Lender {
	return keys.Lender{
		Credential: func(_ context.Context, s credential.Source) (*secret.Value, error) {
			p.mu.Lock()
			defer p.mu.Unlock()
			if v, ok := p.values[s.Name]; ok {
				return secret.From([]byte(v))
			}
			return nil, fmt.Errorf("getting the %s: nobody has typed it: %w", s, backend.ErrLocked)
		},
		Forget: func(s credential.Source) {
			p.mu.Lock()
			defer p.mu.Unlock()
			p.forgot = append(p.forgot, s.Name)
		},
	}
}

// from is a credential of the purse.
func from(variable string) keys.Credential {
	return keys.Credential{Variable: variable, Source: credential.Source{Kind: credential.Ask, Field: variable, Name: variable}}
}

// lends is a Ring that has its credentials from p and an environment of env.
func (p *purse) lends(t *testing.T, typ keys.Type, env []string, credentials ...keys.Credential) *keys.Ring {
	t.Helper()
	cfg := keys.Config{Clouds: []keys.Cloud{{Type: typ, Credentials: credentials}}}
	for _, entry := range env {
		if url, ok := strings.CutPrefix(entry, "VAULT_ADDR="); ok {
			cfg.VaultAddresses = []string{url}
		}
	}
	r := ringOf(t, cfg, env...)
	r.Borrow(p.lender())
	return r
}

// serviceAccount is one of Google's, whose tokens c gives.
func serviceAccount(t *testing.T, c *cloud) string {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(map[string]string{
		"type": "service_account", "project_id": "p", "private_key_id": "1", "client_email": "a@p.example", "client_id": "1",
		"private_key": string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})), "token_uri": c.URL + "/token",
	})
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// without is env without credentials, and with some of another account.
func without(env []string, others ...string) []string {
	var out []string
	for _, entry := range env {
		name, _, _ := strings.Cut(entry, "=")
		switch name {
		case "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "GOOGLE_OAUTH_ACCESS_TOKEN", "VAULT_TOKEN":
		default:
			out = append(out, entry)
		}
	}
	return append(out, others...)
}

// TestLent has the credentials come with the request. What the environment says of
// another account does not count.
func TestLent(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	p := &purse{values: map[string]string{
		"AWS_ACCESS_KEY_ID": "AKIALENT", "AWS_SECRET_ACCESS_KEY": "lent", "GOOGLE_CREDENTIALS": serviceAccount(t, c),
		"GOOGLE_OAUTH_ACCESS_TOKEN": token, "VAULT_TOKEN": token,
	}}
	for name, tt := range map[string]struct {
		typ         keys.Type
		others      []string
		credentials []keys.Credential
	}{
		"aws": {
			keys.AWSKMS,
			[]string{"AWS_ACCESS_KEY_ID=other", "AWS_SECRET_ACCESS_KEY=other", "AWS_SESSION_TOKEN=other", "AWS_PROFILE=no-such-profile"},
			[]keys.Credential{from("AWS_ACCESS_KEY_ID"), from("AWS_SECRET_ACCESS_KEY")},
		},
		"gcp service account": {
			keys.GCPKMS,
			[]string{"GOOGLE_OAUTH_ACCESS_TOKEN=other", "GOOGLE_APPLICATION_CREDENTIALS=/nonexistent"},
			[]keys.Credential{from("GOOGLE_CREDENTIALS")},
		},
		"gcp token": {keys.GCPKMS, []string{"GOOGLE_CREDENTIALS={}"}, []keys.Credential{from("GOOGLE_OAUTH_ACCESS_TOKEN")}},
		"vault":     {keys.VaultTransit, []string{"VAULT_TOKEN=other", "VAULT_NAMESPACE=other"}, []keys.Credential{from("VAULT_TOKEN")}},
	} {
		t.Run(name, func(t *testing.T) {
			s := services(c.URL)[tt.typ]
			full := s.env(c.URL, token)
			doc := keystest.Encrypt(t, "", full, s.args...)
			key, err := p.lends(t, tt.typ, without(full, tt.others...), tt.credentials...).DataKey(t.Context(), doc.Meta)
			if err != nil {
				t.Fatal(err)
			}
			doc.Opens(t, key)
			key.Destroy()
			if tt.typ == keys.AWSKMS && c.lastKey != "AKIALENT" {
				t.Errorf("AWS was asked by %q", c.lastKey)
			}
		})
	}
}

func TestLentRefused(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	s := services(c.URL)[keys.VaultTransit]
	full := s.env(c.URL, token)
	doc := keystest.Encrypt(t, "", full, s.args...)
	p := &purse{values: map[string]string{}}
	r := p.lends(t, keys.VaultTransit, without(full), from("VAULT_TOKEN"))
	refuses(t, r, doc.Meta, backend.ErrLocked, "getting the VAULT_TOKEN from secretfs unlock: nobody has typed it")
	if len(p.forgot) != 0 {
		t.Errorf("forgot %q", p.forgot)
	}
	p.values["VAULT_TOKEN"] = "mistyped-" + token
	refuses(t, r, doc.Meta, backend.ErrRejected, "HTTP 403")
	if len(p.forgot) != 1 || p.forgot[0] != "VAULT_TOKEN" {
		t.Errorf("forgot %q, want the token that was refused", p.forgot)
	}
	p.values["VAULT_TOKEN"] = token
	key, err := r.DataKey(t.Context(), doc.Meta)
	if err != nil {
		t.Fatal(err)
	}
	key.Destroy()
	odd := p.lends(t, keys.VaultTransit, without(full), from("VAULT_TOKEN"), keys.Credential{Variable: "LD_PRELOAD", Value: "/x.so"})
	refuses(t, odd, doc.Meta, backend.ErrUnsupported, "a master key of type hc_vault has no credential LD_PRELOAD")
}
