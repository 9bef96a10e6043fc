package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/secretfs/secretfs/backend"
	"github.com/secretfs/secretfs/backend/sops/keys"
	"github.com/secretfs/secretfs/backend/sops/keys/keystest"
)

const (
	azureLogin  = "login.microsoftonline.com"
	azureVault  = "box.vault.azure.net"
	azureTenant = "11111111-2222-3333-4444-555555555555"
	azureClient = "66666666-7777-8888-9999-000000000000"
)

// azure plays Microsoft's login server and an Azure Key Vault under their own names:
// an HTTP proxy of the test leads there, and a CA of the test vouches for them. Nothing
// of sops or of Microsoft's kit is changed.
func azure(t *testing.T) (env []string, c *cloud) {
	t.Helper()
	c = newCloud(t)
	pair, ca := certificateFor(t, azureLogin, azureVault)
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+azureLogin+"/common/discovery/instance", func(w http.ResponseWriter, _ *http.Request) {
		reply(w, 200, map[string]any{
			"tenant_discovery_endpoint": "https://" + azureLogin + "/" + azureTenant + "/v2.0/.well-known/openid-configuration",
			"metadata":                  []map[string]any{{"preferred_network": azureLogin, "preferred_cache": azureLogin, "aliases": []string{azureLogin}}},
		})
	})
	mux.HandleFunc("GET "+azureLogin+"/"+azureTenant+"/v2.0/.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		at := "https://" + azureLogin + "/" + azureTenant
		reply(w, 200, map[string]string{
			"issuer": at + "/v2.0", "token_endpoint": at + "/oauth2/v2.0/token", "authorization_endpoint": at + "/oauth2/v2.0/authorize",
		})
	})
	mux.HandleFunc("POST "+azureLogin+"/"+azureTenant+"/oauth2/v2.0/token", func(w http.ResponseWriter, r *http.Request) {
		if r.FormValue("client_id") != azureClient || r.FormValue("client_secret") != token {
			reply(w, 401, map[string]string{"error": "invalid_client", "error_description": "it is not " + r.FormValue("client_secret")})
			return
		}
		reply(w, 200, map[string]any{"token_type": "Bearer", "expires_in": 3599, "access_token": "for the vault"})
	})
	mux.HandleFunc("POST "+azureVault+"/keys/{name}/{version}/{call}", c.keyVault)
	s := httptest.NewUnstartedServer(mux)
	s.TLS = &tls.Config{Certificates: []tls.Certificate{pair}}
	s.StartTLS()
	t.Cleanup(s.Close)
	file := t.TempDir() + "/ca.pem"
	if err := os.WriteFile(file, ca, 0o600); err != nil {
		t.Fatal(err)
	}
	return []string{"HTTPS_PROXY=" + proxyTo(t, s.Listener.Addr().String()), "SSL_CERT_FILE=" + file}, c
}

// keyVault encrypts and decrypts (Azure Key Vault's REST API, keys).
func (c *cloud) keyVault(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Authorization") != "Bearer for the vault" {
		w.Header().Set("WWW-Authenticate", `Bearer authorization="https://`+azureLogin+"/"+azureTenant+`", resource="https://vault.azure.net"`)
		w.WriteHeader(401)
		return
	}
	var q struct{ Alg, Value string }
	json.NewDecoder(r.Body).Decode(&q)
	key, raw := r.PathValue("name")+"/"+r.PathValue("version"), base64.RawURLEncoding
	plain, _ := raw.DecodeString(q.Value)
	answer := ""
	if r.PathValue("call") == "encrypt" {
		answer = c.put(entry{string(plain), key, nil})
	} else {
		e, no := c.get(string(plain), key)
		if no.status != 0 {
			reply(w, no.status, map[string]any{"error": map[string]string{"code": no.code, "message": "your token is for the vault"}})
			return
		}
		answer = e.plaintext
	}
	reply(w, 200, map[string]string{"kid": "https://" + azureVault + "/keys/" + key, "value": raw.EncodeToString([]byte(answer))})
}

// certificateFor names, and the authority that has signed it.
func certificateFor(t *testing.T, names ...string) (pair tls.Certificate, ca []byte) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	cert := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, DNSNames: names, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, cert, cert, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

// proxyTo is an HTTP proxy that leads to address, whatever it is asked for.
func proxyTo(t *testing.T, address string) (url string) {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		to, err := net.Dial("tcp", address)
		if err != nil || r.Method != http.MethodConnect {
			http.Error(w, "no", http.StatusBadGateway)
			return
		}
		defer to.Close()
		from, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		defer from.Close()
		io.WriteString(from, "HTTP/1.1 200 OK\r\n\r\n")
		go func() {
			io.Copy(to, from)
			to.Close()
		}()
		io.Copy(from, to)
	}))
	t.Cleanup(s.Close)
	return s.URL
}

// TestAzure has the real sops encrypt with a key of Azure Key Vault, and secretfs-keys
// decrypt, by its environment and by credentials that come with the request.
func TestAzure(t *testing.T) {
	t.Parallel()
	env, c := azure(t)
	account := []string{"AZURE_TENANT_ID=" + azureTenant, "AZURE_CLIENT_ID=" + azureClient, "AZURE_CLIENT_SECRET=" + token}
	full := append(account, env...)
	doc := keystest.Encrypt(t, "", full, "--azure-kv", "https://"+azureVault+"/keys/k1/v1")
	if got := doc.Meta.Groups[0][0].Type; got != keys.AzureKV {
		t.Fatalf("sops wrote an entry of type %s", got)
	}
	p := &purse{values: map[string]string{"AZURE_CLIENT_SECRET": token}}
	credentials := []keys.Credential{
		{Variable: "AZURE_TENANT_ID", Value: azureTenant}, {Variable: "AZURE_CLIENT_ID", Value: azureClient}, from("AZURE_CLIENT_SECRET"),
	}
	other := append([]string{"AZURE_TENANT_ID=other", "AZURE_CLIENT_ID=other", "AZURE_CLIENT_SECRET=other"}, env...)
	lent := p.lends(t, keys.AzureKV, other, credentials...)
	for name, r := range map[string]*keys.Ring{"environment": ring(t, full...), "lent": lent} {
		key, err := r.DataKey(t.Context(), doc.Meta)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		doc.Opens(t, key)
		key.Destroy()
	}

	c.deny(403, "Forbidden")
	refuses(t, lent, doc.Meta, backend.ErrRejected, "the server refused: Forbidden (HTTP 403)")
	c.deny(0, "")
	p.values["AZURE_CLIENT_SECRET"] = "mistyped"
	p.forgot = nil
	refuses(t, lent, doc.Meta, backend.ErrRejected, "the login server refused the credentials")
	if !slices.Equal(p.forgot, []string{"AZURE_CLIENT_SECRET"}) {
		t.Errorf("forgot %q, want the secret that was refused", p.forgot)
	}
}
