package main

import (
	"context"
	"errors"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/secretfs/secretfs/backend"
	"github.com/secretfs/secretfs/backend/helper/helpertest"
	"github.com/secretfs/secretfs/backend/sops/keys"
	"github.com/secretfs/secretfs/backend/sops/keys/keystest"
)

const arn = "arn:aws:kms:us-east-1:111122223333:key/bc436485-5092-42b8-92a3-0aa8b93536dc"

// TestMain lets the test binary be secretfs-keys as well.
func TestMain(m *testing.M) {
	if len(os.Args) == 2 && os.Args[1] == "secretfs-keys" {
		main()
		return
	}
	os.Exit(m.Run())
}

// A service is one kind of master key and what its clients need.
type service struct {
	args []string
	env  func(url, token string) []string
}

func services(url string) map[keys.Type]service {
	return map[keys.Type]service{
		keys.AWSKMS: {[]string{"--kms", arn, "--encryption-context", "Env:prod,App:x"}, func(url, token string) []string {
			return []string{
				"AWS_ACCESS_KEY_ID=x", "AWS_SECRET_ACCESS_KEY=y", "AWS_SESSION_TOKEN=" + token, "AWS_MAX_ATTEMPTS=1",
				"AWS_EC2_METADATA_DISABLED=true", "AWS_ENDPOINT_URL_KMS=" + url,
			}
		}},
		keys.GCPKMS: {[]string{"--gcp-kms", "projects/p/locations/global/keyRings/r/cryptoKeys/k"}, func(url, token string) []string {
			return []string{"SOPS_GCP_KMS_ENDPOINT=" + url, "SOPS_GCP_KMS_CLIENT_TYPE=rest", "GOOGLE_OAUTH_ACCESS_TOKEN=" + token}
		}},
		keys.VaultTransit: {[]string{"--hc-vault-transit", url + "/v1/transit/keys/k1"}, func(url, token string) []string {
			return []string{"VAULT_ADDR=" + url, "VAULT_TOKEN=" + token, "VAULT_MAX_RETRIES=0"}
		}},
	}
}

// ring asks secretfs-keys with that environment.
func ring(t testing.TB, env ...string) *keys.Ring {
	t.Helper()
	return ringOf(t, keys.Config{}, env...)
}

func ringOf(t testing.TB, cfg keys.Config, env ...string) *keys.Ring {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	r := keys.New(cfg, helpertest.Exec{
		Commands: map[string][]string{keys.KindKeys: {self, "secretfs-keys"}},
		Env:      append(env, "HOME="+t.TempDir(), "PATH="+os.Getenv("PATH")),
	}.Run)
	t.Cleanup(func() { r.Close() })
	return r
}

func refuses(t testing.TB, r *keys.Ring, m keys.Metadata, kind error, word string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 25*time.Second)
	defer cancel()
	_, err := r.DataKey(ctx, m)
	if !errors.Is(err, kind) || !strings.Contains(err.Error(), word) {
		t.Errorf("got the error %v, expected %v: …%s…", err, kind, word)
	}
	if err != nil && (strings.Contains(err.Error(), token) || strings.Contains(err.Error(), "your token")) {
		t.Errorf("the error %q tells what the server said", err)
	}
}

func TestServices(t *testing.T) {
	t.Parallel()
	for typ, s := range services("") {
		t.Run(string(typ), func(t *testing.T) {
			t.Parallel()
			c := newCloud(t)
			s = services(c.URL)[typ]
			env := s.env(c.URL, token)
			doc := keystest.Encrypt(t, "", env, s.args...)
			if got := doc.Meta.Groups[0][0].Type; got != typ {
				t.Fatalf("sops wrote an entry of type %s", got)
			}
			key, err := ring(t, env...).DataKey(t.Context(), doc.Meta)
			if err != nil {
				t.Fatal(err)
			}
			doc.Opens(t, key)
			key.Destroy()

			c.deny(403, "AccessDeniedException")
			refuses(t, ring(t, env...), doc.Meta, backend.ErrRejected, "the server refused")
			c.deny(500, "KMSInternalException")
			refuses(t, ring(t, env...), doc.Meta, backend.ErrUnavailable, "the server cannot answer now")
			c.deny(0, "")
			doc.Meta.Groups[0][0].Fields["enc"] = "dmF1bHQ6djE6OTk=" // another ciphertext
			refuses(t, ring(t, env...), doc.Meta, backend.ErrRejected, "the server refused")
			c.Close()
			refuses(t, ring(t, env...), doc.Meta, backend.ErrUnavailable, "connection refused")
		})
	}
}

func TestCredentials(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	all := services(c.URL)
	encrypt := func(typ keys.Type) keys.Metadata {
		return keystest.Encrypt(t, "", all[typ].env(c.URL, token), all[typ].args...).Meta
	}
	aws, gcp, vault := encrypt(keys.AWSKMS), encrypt(keys.GCPKMS), encrypt(keys.VaultTransit)

	refuses(t, ring(t, "AWS_EC2_METADATA_DISABLED=true", "AWS_ENDPOINT_URL_KMS="+c.URL), aws, backend.ErrLocked, "no usable credentials")
	refuses(t, ring(t, "SOPS_GCP_KMS_CLIENT_TYPE=rest", "GOOGLE_APPLICATION_CREDENTIALS=/nonexistent", "SOPS_GCP_KMS_ENDPOINT="+c.URL), gcp, backend.ErrLocked, "no usable credentials")
	refuses(t, ring(t, all[keys.GCPKMS].env(c.URL, "wrong-"+token)...), gcp, backend.ErrRejected, "HTTP 401")
	refuses(t, ring(t, all[keys.VaultTransit].env(c.URL, "wrong-"+token)...), vault, backend.ErrRejected, "HTTP 403")

	env := all[keys.AWSKMS].env(c.URL, token)
	wrong := aws.Groups[0][0]
	wrong.Context = map[string]string{"Env": "test"}
	refuses(t, ring(t, env...), keys.Metadata{Groups: []keys.Group{{wrong}}}, backend.ErrRejected, "InvalidCiphertextException (HTTP 400)")
	c.deny(400, "ExpiredTokenException")
	refuses(t, ring(t, env...), aws, backend.ErrExpired, "the credentials have expired")
	c.deny(400, "ThrottlingException")
	refuses(t, ring(t, env...), aws, backend.ErrUnavailable, "Throttling")
}

func TestOtherTypes(t *testing.T) {
	t.Parallel()
	file := func(typ keys.Type, fields map[string]string) keys.Metadata {
		return keys.Metadata{Groups: []keys.Group{{{Type: typ, Fields: fields}}}}
	}
	refuses(t, ring(t), file("new_kms", nil), backend.ErrUnsupported, `the type "new_kms"`)
	refuses(t, ring(t), file(keys.AWSKMS, map[string]string{"arn": "nonsense", "enc": "AA=="}), backend.ErrRejected, "nonsense: sops cannot use this entry")
	refuses(t, ring(t), file(keys.HuaweiKMS, map[string]string{"key_id": "nonsense", "enc": "AA=="}), backend.ErrRejected, "sops cannot use this entry")
	refuses(t, ring(t, "AZURE_TENANT_ID=t", "AZURE_CLIENT_ID=c"), file(keys.AzureKV, map[string]string{"vault_url": "https://127.0.0.1:1", "name": "k", "version": "v", "enc": "!"}), backend.ErrRejected, "sops cannot use this entry")
}

// TestSilentServer has the deadline end an exchange with a server that accepts
// and never answers.
func TestSilentServer(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c := newCloud(t)
	s := services(c.URL)[keys.VaultTransit]
	doc := keystest.Encrypt(t, "", s.env("", token), s.args...)
	doc.Meta.Groups[0][0].Fields["vault_address"] = "http://" + l.Addr().String()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	if _, err := ring(t, s.env("http://"+l.Addr().String(), token)...).DataKey(ctx, doc.Meta); !errors.Is(err, backend.ErrTimeout) {
		t.Errorf("got the error %v, expected a timeout", err)
	}
}

// TestVaultToken has a file name a server of its own choice, which must see no
// token; the operator names servers in several ways.
func TestVaultToken(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	doc := keystest.Encrypt(t, "", services(c.URL)[keys.VaultTransit].env(c.URL, token), "--hc-vault-transit", c.URL+"/v1/transit/keys/k1")
	var seen atomic.Int32
	elsewhere := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		seen.Add(1)
		http.Error(w, "{}", http.StatusForbidden)
	}))
	t.Cleanup(elsewhere.Close)
	stray := doc.Meta
	stray.Groups = []keys.Group{{doc.Meta.Groups[0][0]}}
	stray.Groups[0][0].Fields = maps.Clone(stray.Groups[0][0].Fields)
	stray.Groups[0][0].Fields["vault_address"] = elsewhere.URL

	const why = "no Vault token goes to a server that only the file names"
	for _, env := range [][]string{
		{"VAULT_TOKEN=" + token},
		{"VAULT_TOKEN=" + token, "VAULT_ADDR=" + c.URL},
		{"VAULT_TOKEN=" + token, "VAULT_ADDR=" + elsewhere.URL[:len(elsewhere.URL)-1]},
		{"VAULT_TOKEN=" + token, keys.VaultAllowlist + "=" + c.URL},
	} {
		refuses(t, ring(t, env...), stray, backend.ErrRejected, why)
	}
	if n := seen.Load(); n != 0 {
		t.Errorf("the other server saw %d requests", n)
	}
	for name, r := range map[string]*keys.Ring{
		"VAULT_ADDR": ring(t, "VAULT_TOKEN="+token, "VAULT_ADDR="+c.URL),
		"allowlist":  ring(t, "VAULT_TOKEN="+token, "VAULT_ADDR=http://127.0.0.1:1", keys.VaultAllowlist+"=http://127.0.0.1:1,"+c.URL),
		"policy":     ringOf(t, keys.Config{VaultAddresses: []string{c.URL}}, "VAULT_TOKEN="+token, "VAULT_ADDR=http://127.0.0.1:1"),
	} {
		key, err := r.DataKey(t.Context(), doc.Meta)
		if err != nil {
			t.Errorf("named in %s: %v", name, err)
			continue
		}
		doc.Opens(t, key)
		key.Destroy()
	}
	refuses(t, ringOf(t, keys.Config{VaultAddresses: []string{}}, "VAULT_TOKEN="+token, "VAULT_ADDR="+c.URL), doc.Meta, backend.ErrRejected, why)
}
