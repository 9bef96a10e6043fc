package api

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/secretfs/secretfs/backend"
	"github.com/secretfs/secretfs/backend/bitwarden/kdf"
	"github.com/secretfs/secretfs/backend/secret"
)

// An Account is what is needed, beside the master password, to open an account's
// keys. It is no secret.
type Account struct {
	KDF  kdf.Params `json:"kdf"`
	Salt string     `json:"salt"`
	// WrappedKey is the account's key, encrypted with the master key.
	WrappedKey string `json:"wrapped_key"`
}

// Prelogin asks how the master key of an account is derived. Nothing tells
// whether there is such an account.
func (c *Client) Prelogin(ctx context.Context, email string) (kdf.Params, string, error) {
	var answer struct {
		kdfFields
		Salt        string
		KdfSettings kdfSettings
	}
	body, _ := json.Marshal(map[string]string{"email": email}) // a text never fails
	err := c.post(ctx, "/accounts/prelogin/password", "", kindJSON, body, &answer)
	if e := AsError(err); e != nil && (e.Status == http.StatusNotFound || e.Status == http.StatusMethodNotAllowed) {
		err = c.post(ctx, "/accounts/prelogin", "", kindJSON, body, &answer) // of older servers
	}
	if err != nil {
		return kdf.Params{}, "", err
	}
	p := answer.params()
	if p.Iterations == 0 {
		p = answer.KdfSettings.params()
	}
	return p, answer.Salt, nil
}

const kindJSON, kindForm = "application/json", "application/x-www-form-urlencoded"

// kdfFields are how servers spell Params beside other things.
type kdfFields struct {
	Kdf            int
	KdfIterations  int
	KdfMemory      int
	KdfParallelism int
}

func (k kdfFields) params() kdf.Params {
	return kdf.Params{Type: k.Kdf, Iterations: k.KdfIterations, Memory: k.KdfMemory, Parallelism: k.KdfParallelism}
}

// kdfSettings are how they spell them alone.
type kdfSettings struct {
	KdfType     int
	Iterations  int
	Memory      int
	Parallelism int
}

func (k kdfSettings) params() kdf.Params {
	return kdf.Params{Type: k.KdfType, Iterations: k.Iterations, Memory: k.Memory, Parallelism: k.Parallelism}
}

// A Grant is one way to log in: by API key, by password, or by refresh token.
type Grant struct {
	deviceID string
	form     url.Values
	// secrets go into the form last, and are not the Grant's to destroy.
	secrets map[string]*secret.Value
}

// ByKey is a login by personal API key. It shows who we are; it opens nothing.
func ByKey(device, id string, key *secret.Value) Grant {
	f := deviceForm(device)
	f.Set("grant_type", "client_credentials")
	f.Set("scope", "api")
	f.Set("client_id", id)
	return Grant{device, f, map[string]*secret.Value{"client_secret": key}}
}

// ByPassword is a login by e-mail address and hash of the master password.
func ByPassword(device, email string, hash *secret.Value) Grant {
	f := deviceForm(device)
	f.Set("grant_type", "password")
	f.Set("scope", "api offline_access")
	f.Set("client_id", "cli")
	f.Set("username", email)
	return Grant{device, f, map[string]*secret.Value{"password": hash}}
}

// ByRefresh goes on with an earlier login by password.
func ByRefresh(device string, token *secret.Value) Grant {
	f := url.Values{"grant_type": {"refresh_token"}, "client_id": {"cli"}}
	return Grant{device, f, map[string]*secret.Value{"refresh_token": token}}
}

func deviceForm(device string) url.Values {
	return url.Values{"deviceType": {deviceType}, "deviceIdentifier": {device}, "deviceName": {"secretfs"}}
}

// The providers of a second factor that we know.
const (
	TOTP     = "0"
	Remember = "5" // a token that an earlier login gave
)

// TwoFactor adds a second factor, and asks for a token that replaces it the next
// time.
func (g Grant) TwoFactor(provider string, token *secret.Value) {
	g.form.Set("twoFactorProvider", provider)
	g.form.Set("twoFactorRemember", "1")
	g.secrets["twoFactorToken"] = token
}

// NewDevice adds the code that was sent by mail.
func (g Grant) NewDevice(code *secret.Value) { g.secrets["NewDeviceOtp"] = code }

// encode makes the body. It is wiped by whoever sends it; what the library copies
// of it is not.
func (g Grant) encode() []byte {
	b := []byte(g.form.Encode())
	for name, v := range g.secrets {
		if len(b) > 0 {
			b = append(b, '&')
		}
		b = append(b, name...)
		b = append(b, '=')
		b = append(b, url.QueryEscape(string(v.Bytes()))...)
	}
	return b
}

// Tokens are what a login gives. Destroy wipes them.
type Tokens struct {
	Access, Refresh, Remember *secret.Value // Refresh and Remember may be nil
	Expires                   time.Time
	// Account has a WrappedKey where the login was by key or password.
	Account Account
	// NoPassword says that the account has no master password.
	NoPassword bool
}

// Destroy wipes the tokens.
func (t *Tokens) Destroy() {
	t.Access.Destroy()
	t.Refresh.Destroy()
	t.Remember.Destroy()
}

// Login asks for tokens.
func (c *Client) Login(ctx context.Context, g Grant) (*Tokens, error) {
	body := g.encode()
	defer secret.Wipe(body)
	var a tokenAnswer
	err := c.post(ctx, "/connect/token", g.deviceID, kindForm, body, &a)
	if err == nil && a.Access.Len() == 0 {
		err = fmt.Errorf("POST %s/connect/token: the answer has no token: %w", c.cfg.Hosts.Identity, backend.ErrUnavailable)
	}
	if err != nil {
		a.destroy()
		return nil, err
	}
	return a.tokens(), nil
}
