package api

import (
	"bytes"
	"cmp"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/secretfs/secretfs/backend/secret"
)

// A text is a JSON string that goes into locked memory. Tokens have no escapes.
type text struct{ *secret.Value }

func (t *text) UnmarshalJSON(b []byte) error {
	if string(b) == "null" {
		return nil
	}
	if len(b) < 2 || b[0] != '"' || bytes.IndexByte(b, '\\') >= 0 {
		return errors.New("it is not a token")
	}
	v, err := secret.New(len(b) - 2)
	if err != nil {
		return err
	}
	copy(v.Bytes(), b[1:])
	t.Destroy()
	t.Value = v
	return nil
}

// A tokenAnswer is how servers answer a login.
type tokenAnswer struct {
	Access   text `json:"access_token"`
	Refresh  text `json:"refresh_token"`
	Remember text `json:"TwoFactorToken"`
	Expires  int  `json:"expires_in"` // seconds
	Key      string
	kdfFields
	Options struct {
		HasMasterPassword *bool
		Unlock            *struct {
			Kdf     kdfSettings
			Wrapped string `json:"MasterKeyWrappedUserKey"`
			Older   string `json:"MasterKeyEncryptedUserKey"`
			Salt    string
		} `json:"MasterPasswordUnlock"`
	} `json:"UserDecryptionOptions"`
}

func (a *tokenAnswer) destroy() {
	a.Access.Destroy()
	a.Refresh.Destroy()
	a.Remember.Destroy()
}

const (
	defaultExpiry = time.Hour
	// early is how long before its end a token is replaced, and up to a tenth of
	// its time before: machines that started together do not log in together.
	early = 30 * time.Second
)

func (a *tokenAnswer) tokens() *Tokens {
	lasts := time.Duration(a.Expires) * time.Second
	if lasts <= 0 {
		lasts = defaultExpiry
	}
	t := &Tokens{
		Access: a.Access.Value, Refresh: a.Refresh.Value, Remember: a.Remember.Value,
		Expires: time.Now().Add(lasts - min(early, lasts/4) - rand.N(lasts/10)), Account: Account{KDF: a.params(), WrappedKey: a.Key},
		NoPassword: a.Options.HasMasterPassword != nil && !*a.Options.HasMasterPassword,
	}
	if u := a.Options.Unlock; u != nil {
		t.Account = Account{KDF: u.Kdf.params(), Salt: u.Salt, WrappedKey: cmp.Or(u.Wrapped, u.Older)}
	}
	return t
}
