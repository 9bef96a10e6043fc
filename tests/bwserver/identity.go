package bwserver

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"
)

// A grant is what a token is for.
type grant struct {
	account *Account
	device  string
	expires time.Time
}

func (s *Server) routes() {
	m := s.mux
	m.HandleFunc("GET /api/config", s.config)
	m.HandleFunc("POST /identity/accounts/prelogin/password", s.prelogin)
	m.HandleFunc("POST /identity/accounts/prelogin", s.prelogin)
	m.HandleFunc("POST /identity/connect/token", s.token)
	s.vaultRoutes()
	s.attachmentRoutes()
	m.HandleFunc("GET /notifications/hub", s.serveHub)
}

func (s *Server) config(w http.ResponseWriter, r *http.Request) {
	reply(w, 200, object{
		"object": "config", "version": "2026.9.0", "gitHash": "test", "server": nil, "featureStates": object{},
		"environment": object{
			"vault": s.URL, "api": s.URL + "/api", "identity": s.URL + "/identity", "notifications": s.URL + "/notifications", "sso": "",
		},
	})
}

func (s *Server) byEmail(email string) *Account {
	for _, a := range s.accounts {
		if strings.EqualFold(a.Email, strings.TrimSpace(email)) {
			return a
		}
	}
	return nil
}

func (s *Server) prelogin(w http.ResponseWriter, r *http.Request) {
	var q struct{ Email string }
	json.NewDecoder(r.Body).Decode(&q)
	s.mu.Lock()
	defer s.mu.Unlock()
	a := s.byEmail(q.Email)
	if a == nil {
		reply(w, 200, object{"kdf": 0, "kdfIterations": 600000, "kdfMemory": nil, "kdfParallelism": nil})
		return
	}
	body := a.kdf()
	if !a.Plain {
		body["salt"] = strings.ToLower(a.Email)
		body["kdfSettings"] = a.kdfSettings()
	}
	reply(w, 200, body)
}

func (a *Account) kdf() object {
	o := object{"kdf": a.KDF.Type, "kdfIterations": a.KDF.Iterations, "kdfMemory": nil, "kdfParallelism": nil}
	if a.KDF.Memory > 0 {
		o["kdfMemory"], o["kdfParallelism"] = a.KDF.Memory, a.KDF.Parallelism
	}
	return o
}

func (a *Account) kdfSettings() object {
	return object{"kdfType": a.KDF.Type, "iterations": a.KDF.Iterations, "memory": a.KDF.Memory, "parallelism": a.KDF.Parallelism}
}

func (s *Server) token(w http.ResponseWriter, r *http.Request) {
	if r.ParseForm() != nil {
		fail(w, 400, "bad form")
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch f := r.PostForm; f.Get("grant_type") {
	case "password":
		s.byPassword(w, r)
	case "client_credentials":
		for _, a := range s.accounts {
			if f.Get("client_id") == a.ClientID() && f.Get("client_secret") == a.ClientSecret && f.Get("deviceIdentifier") != "" {
				s.grant(w, a, f.Get("deviceIdentifier"), false)
				return
			}
		}
		reply(w, 400, object{"error": "invalid_client"})
	case "refresh_token":
		g := s.refresh[f.Get("refresh_token")]
		if g == nil {
			reply(w, 400, object{"error": "invalid_grant"})
			return
		}
		delete(s.refresh, f.Get("refresh_token"))
		s.grant(w, g.account, g.device, true)
	default:
		reply(w, 400, object{"error": "unsupported_grant_type"})
	}
}

func (s *Server) byPassword(w http.ResponseWriter, r *http.Request) {
	f := r.PostForm
	a := s.byEmail(f.Get("username"))
	if a == nil || f.Get("password") != a.Hash {
		wrong(w, object{"error": "invalid_grant", "error_description": "invalid_username_or_password"}, "Username or password is incorrect. Try again.")
		return
	}
	device := f.Get("deviceIdentifier")
	switch {
	case a.TOTP != "" && f.Get("twoFactorProvider") == "5" && f.Get("twoFactorToken") == "remembered-"+device:
	case a.TOTP != "" && f.Get("twoFactorToken") == "":
		wrong(w, object{
			"error": "invalid_grant", "error_description": "Two factor required.", "TwoFactorProviders": []string{"0"},
			"TwoFactorProviders2": object{"0": nil},
		}, "")
		return
	case a.TOTP != "" && (f.Get("twoFactorToken") != a.TOTP || f.Get("twoFactorProvider") != "0"):
		wrong(w, object{"error": "invalid_grant", "error_description": "invalid_username_or_password"}, "Two-step token is invalid. Try again.")
		return
	case a.TOTP == "" && a.NewDevice != "" && !a.devices[device] && f.Get("NewDeviceOtp") == "":
		wrong(w, object{"error": "device_error", "error_description": "New device verification required"}, "new device verification required")
		return
	case a.TOTP == "" && a.NewDevice != "" && !a.devices[device] && f.Get("NewDeviceOtp") != a.NewDevice:
		wrong(w, object{"error": "device_error", "error_description": "Invalid New Device OTP"}, "invalid new device otp. Try again.")
		return
	}
	a.devices[device] = true
	s.grant(w, a, device, true)
}

func wrong(w http.ResponseWriter, body object, message string) {
	body["ErrorModel"] = object{"Message": message, "Object": "error"}
	reply(w, 400, body)
}

// grant gives tokens. It is called with mu held.
func (s *Server) grant(w http.ResponseWriter, a *Account, device string, refresh bool) {
	g := &grant{a, device, time.Now().Add(a.Lifetime)}
	token := jwt(fmt.Sprintf(`{"nbf":%d,"exp":%d,"iss":%q,"sub":%q,"email":%q,"name":"test","premium":true,"email_verified":true,"sstamp":"x","device":%q,"scope":["api","offline_access"],"amr":["Application"]}`,
		time.Now().Unix(), g.expires.Unix(), s.URL+"|login", a.ID, a.Email, device))
	s.tokens[token] = g
	body := object{
		"access_token": token, "expires_in": int(a.Lifetime / time.Second), "token_type": "Bearer", "scope": "api offline_access",
		"Key": a.WrappedKey, "PrivateKey": a.PrivateKey, "ResetMasterPassword": false, "ForcePasswordReset": false,
		"Kdf": a.KDF.Type, "KdfIterations": a.KDF.Iterations, "KdfMemory": nil, "KdfParallelism": nil, "unofficialServer": false,
		"AccountKeys": a.keys(), "accountKeys": a.keys(),
	}
	if a.KDF.Memory > 0 {
		body["KdfMemory"], body["KdfParallelism"] = a.KDF.Memory, a.KDF.Parallelism
	}
	if a.NoPassword {
		body["Key"] = nil
	}
	if !a.Plain {
		options := object{"HasMasterPassword": !a.NoPassword, "Object": "userDecryptionOptions", "UserKeyId": a.KeyID}
		if !a.NoPassword {
			options["MasterPasswordUnlock"] = object{
				"Kdf": object{
					"KdfType": a.KDF.Type, "Iterations": a.KDF.Iterations, "Memory": a.KDF.Memory, "Parallelism": a.KDF.Parallelism,
				},
				"MasterKeyEncryptedUserKey": a.WrappedKey, "MasterKeyWrappedUserKey": a.WrappedKey, "Salt": strings.ToLower(a.Email),
			}
		}
		body["UserDecryptionOptions"] = options
	}
	if refresh {
		renewal := rand.Text()
		s.refresh[renewal] = g
		body["refresh_token"] = renewal
		if a.TOTP != "" {
			body["TwoFactorToken"] = "remembered-" + device
		}
	}
	reply(w, 200, body)
}

// as wraps what needs a token. mu is held while it runs.
func (s *Server) as(f func(w http.ResponseWriter, r *http.Request, a *Account)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		defer s.mu.Unlock()
		g := s.tokens[strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")]
		if g == nil || time.Now().After(g.expires) {
			w.WriteHeader(401)
			return
		}
		f(w, r, g.account)
	}
}
