package main

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
)

// A cloud plays AWS KMS, Google Cloud KMS and Vault's transit engine, as far as
// the sops program asks them. What sops takes for the real thing is the proof
// that it is close enough.
type cloud struct {
	*httptest.Server
	mu      sync.Mutex
	vault   []entry // ciphertext N is "N"
	denying refusedWith
	lastKey string // the access key of the last request to AWS
}

type entry struct {
	plaintext string // base64, as all three have it
	key       string
	context   map[string]string
}

// refusedWith is what the cloud answers instead of a plaintext.
type refusedWith struct {
	status int
	code   string
}

const token = "s3cr3t-t0ken"

func newCloud(t testing.TB) *cloud {
	c := &cloud{}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /{$}", c.aws)
	mux.HandleFunc("POST /v1/projects/p/locations/global/keyRings/r/cryptoKeys/{call}", c.google)
	mux.HandleFunc("PUT /v1/transit/{call}/{key}", c.transit)
	mux.HandleFunc("POST /token", c.login)
	c.Server = httptest.NewServer(mux)
	t.Cleanup(c.Close)
	return c
}

func (c *cloud) deny(status int, code string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.denying = refusedWith{status, code}
}

func (c *cloud) put(e entry) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.vault = append(c.vault, e)
	return fmt.Sprint(len(c.vault) - 1)
}

func (c *cloud) get(ciphertext, key string) (entry, refusedWith) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var n int
	if c.denying.status != 0 {
		return entry{}, c.denying
	}
	if _, err := fmt.Sscan(ciphertext, &n); err != nil || n >= len(c.vault) || c.vault[n].key != key {
		return entry{}, refusedWith{400, "InvalidCiphertextException"}
	}
	return c.vault[n], refusedWith{}
}

func b64(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }

func unb64(s string) string {
	b, _ := base64.StdEncoding.DecodeString(s)
	return string(b)
}

func reply(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(body)
}

func (c *cloud) aws(w http.ResponseWriter, r *http.Request) {
	var q struct {
		KeyID             string `json:"KeyId"`
		Plaintext         string
		CiphertextBlob    string
		EncryptionContext map[string]string
	}
	json.NewDecoder(r.Body).Decode(&q)
	c.mu.Lock()
	_, c.lastKey, _ = strings.Cut(r.Header.Get("Authorization"), "Credential=")
	c.lastKey, _, _ = strings.Cut(c.lastKey, "/")
	c.mu.Unlock()
	switch r.Header.Get("X-Amz-Target") {
	case "TrentService.Encrypt":
		n := c.put(entry{q.Plaintext, q.KeyID, q.EncryptionContext})
		reply(w, 200, map[string]string{"CiphertextBlob": b64(n), "KeyId": q.KeyID})
	case "TrentService.Decrypt":
		e, no := c.get(unb64(q.CiphertextBlob), q.KeyID)
		if no.status == 0 && !maps.Equal(e.context, q.EncryptionContext) {
			no = refusedWith{400, "InvalidCiphertextException"}
		}
		if no.status != 0 {
			w.Header().Set("X-Amzn-Errortype", no.code)
			reply(w, no.status, map[string]string{"__type": no.code, "message": "your token is " + r.Header.Get("X-Amz-Security-Token")})
			return
		}
		reply(w, 200, map[string]string{"Plaintext": e.plaintext, "KeyId": q.KeyID})
	}
}

// login gives the token to who shows an assertion of a service account (RFC 7523).
// Its signature is not checked.
func (c *cloud) login(w http.ResponseWriter, r *http.Request) {
	if r.FormValue("grant_type") != "urn:ietf:params:oauth:grant-type:jwt-bearer" || strings.Count(r.FormValue("assertion"), ".") != 2 {
		reply(w, 400, map[string]string{"error": "invalid_grant"})
		return
	}
	reply(w, 200, map[string]any{"access_token": token, "token_type": "Bearer", "expires_in": 3600})
}

func (c *cloud) google(w http.ResponseWriter, r *http.Request) {
	key, call, _ := strings.Cut(r.PathValue("call"), ":")
	var q struct{ Plaintext, Ciphertext string }
	json.NewDecoder(r.Body).Decode(&q)
	if r.Header.Get("Authorization") != "Bearer "+token {
		c.googleError(w, r, refusedWith{401, "UNAUTHENTICATED"})
		return
	}
	if call == "encrypt" {
		reply(w, 200, map[string]string{"name": key, "ciphertext": b64(c.put(entry{q.Plaintext, key, nil}))})
		return
	}
	e, no := c.get(unb64(q.Ciphertext), key)
	if no.status != 0 {
		c.googleError(w, r, no)
		return
	}
	reply(w, 200, map[string]string{"plaintext": e.plaintext})
}

func (c *cloud) googleError(w http.ResponseWriter, r *http.Request, no refusedWith) {
	reply(w, no.status, map[string]any{"error": map[string]any{
		"code": no.status, "status": no.code, "message": "your token is " + r.Header.Get("Authorization"),
	}})
}

func (c *cloud) transit(w http.ResponseWriter, r *http.Request) {
	var q struct{ Plaintext, Ciphertext string }
	json.NewDecoder(r.Body).Decode(&q)
	key, told := r.PathValue("key"), r.Header.Get("X-Vault-Token")
	if told != token {
		reply(w, 403, map[string]any{"errors": []string{"permission denied for " + told}})
		return
	}
	if r.PathValue("call") == "encrypt" {
		reply(w, 200, map[string]any{"data": map[string]string{"ciphertext": "vault:v1:" + c.put(entry{q.Plaintext, key, nil})}})
		return
	}
	e, no := c.get(strings.TrimPrefix(q.Ciphertext, "vault:v1:"), key)
	if no.status != 0 {
		reply(w, no.status, map[string]any{"errors": []string{no.code}})
		return
	}
	reply(w, 200, map[string]any{"data": map[string]string{"plaintext": e.plaintext}})
}
