package bitwarden

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/secretfs/secretfs/backend"
	"github.com/secretfs/secretfs/backend/bitwarden/api"
	"github.com/secretfs/secretfs/backend/bitwarden/kdf"
	"github.com/secretfs/secretfs/backend/bitwarden/vault"
	"github.com/secretfs/secretfs/backend/credential"
	"github.com/secretfs/secretfs/backend/secret"
)

// login asks for tokens by API key, or else by password.
func (s *session) login(ctx context.Context) error {
	if s.cfg.byKey() {
		return s.loginByKey(ctx)
	}
	return s.loginByPassword(ctx)
}

func (s *session) loginByKey(ctx context.Context) error {
	id := s.cfg.KnownID
	if id == "" {
		v, err := s.purse.get(ctx, s.cfg.ClientID)
		if err != nil {
			return err
		}
		id = string(v.Bytes()) // it is no secret
		v.Destroy()
	}
	key, err := s.purse.get(ctx, s.cfg.ClientSecret)
	if err != nil {
		return err
	}
	defer key.Destroy()
	if err := s.purse.mayTry(key, id); err != nil {
		return err
	}
	t, err := s.client.Login(ctx, api.ByKey(s.device, id, key))
	if err != nil {
		err = fmt.Errorf("logging in with the API key (client_id, client_secret): %w", err)
		return s.purse.wrong(s.cfg.ClientSecret, err, key, id)
	}
	s.log.Info("logged in with the API key")
	s.take(t)
	return nil
}

// loginByPassword also opens the account's key: password and answer are at hand.
func (s *session) loginByPassword(ctx context.Context) error {
	codes, err := s.codes(ctx) // what cannot be had is not worth a login
	defer codes.destroy()
	if err != nil {
		return err
	}
	password, err := s.purse.get(ctx, s.cfg.Password)
	if err != nil {
		return err
	}
	defer password.Destroy()
	if err := s.purse.mayTry(password, s.cfg.Email); err != nil {
		return err
	}
	params, salt, err := s.client.Prelogin(ctx, s.cfg.Email)
	if err != nil {
		return fmt.Errorf("asking how to log in: %w", err)
	}
	if salt == "" {
		salt = strings.ToLower(s.cfg.Email)
	}
	master, err := s.master(ctx, params, salt, password)
	if err != nil {
		return err
	}
	defer master.Destroy()
	t, err := s.present(ctx, master, password, &codes)
	if err != nil {
		return err
	}
	s.log.Info("logged in with the master password")
	if t.Account.Salt == "" {
		t.Account.Salt = salt
	}
	if t.Account.KDF == (kdf.Params{}) {
		t.Account.KDF = params
	}
	s.take(t)
	if err := s.decrypts(); err != nil || s.user != nil {
		return err
	}
	return s.open(master)
}

// present shows the hash of the password, and then what else the server asks for.
func (s *session) present(ctx context.Context, master, password *secret.Value, codes *codes) (*api.Tokens, error) {
	hash, err := kdf.Hash(master, password)
	if err != nil {
		return nil, err
	}
	defer hash.Destroy()
	for range 3 { // a password, a second factor, a new device
		g := api.ByPassword(s.device, s.cfg.Email, hash)
		codes.add(g, s.tokens.Remember)
		t, err := s.client.Login(ctx, g)
		if err == nil {
			s.wantsTOTP, s.wantsNewDevice = false, false
			return t, nil
		}
		if again, err := s.asksMore(ctx, err, codes); !again {
			err = fmt.Errorf("logging in with the master password: %w", err)
			if codes.asked { // and it may be the code that is wrong
				return nil, err
			}
			return nil, s.purse.wrong(s.cfg.Password, err, password, s.cfg.Email)
		}
	}
	return nil, fmt.Errorf("logging in with the master password: the server asks for one thing after the other: %w", backend.ErrRejected)
}

// asksMore says whether the server has asked for something that can be had, and
// gets it.
func (s *session) asksMore(ctx context.Context, err error, c *codes) (again bool, _ error) {
	e := api.AsError(err)
	switch {
	case e == nil:
		return false, err
	case len(e.TwoFactor) > 0 && c.totp == nil:
		s.tokens.Remember.Destroy() // it was no good
		s.tokens.Remember = nil
		if !slices.Contains(e.TwoFactor, api.TOTP) {
			return false, fmt.Errorf("%w: the account has a second factor, and none that is possible here: set up an authenticator app, or use an API key", err)
		}
		s.wantsTOTP = true
	case (e.Code == "device_error" || strings.Contains(strings.ToLower(e.Message), "new device verification")) && c.newDevice == nil:
		s.wantsNewDevice = true
	default:
		return false, err
	}
	more, err := s.codes(ctx)
	c.destroy()
	*c = more
	return err == nil, err
}

// askNewDevice is where the code comes from that is sent by mail.
var askNewDevice = credential.Source{Kind: credential.Ask, Field: "new_device_code", Prompt: "code that Bitwarden has sent by mail"}

// askTOTP is where the code of a second factor comes from, if not from a secret.
var askTOTP = credential.Source{Kind: credential.Ask, Field: "totp", Prompt: "code of the authenticator app"}

// codes are one-time codes of this moment; nil where none is asked for.
type codes struct {
	totp, newDevice *secret.Value
	asked           bool // somebody has typed one
}

func (c *codes) destroy() {
	c.totp.Destroy()
	c.newDevice.Destroy()
}

func (c *codes) add(g api.Grant, remember *secret.Value) {
	switch {
	case c.totp != nil:
		g.TwoFactor(api.TOTP, c.totp)
	case remember.Len() > 0:
		g.TwoFactor(api.Remember, remember)
	}
	if c.newDevice != nil {
		g.NewDevice(c.newDevice)
	}
}

// codes gets what the server has asked for before. A code that somebody has typed
// is good for once.
func (s *session) codes(ctx context.Context) (c codes, err error) {
	asksTOTP := !s.cfg.TOTP.Given() || s.cfg.TOTP.Kind == credential.Ask
	switch {
	case s.wantsTOTP && asksTOTP:
		c.asked = true
		c.totp, err = s.purse.once(ctx, askTOTP)
	case s.wantsTOTP:
		c.totp, err = s.totp(ctx)
	}
	if err == nil && s.wantsNewDevice {
		c.asked = true
		c.newDevice, err = s.purse.once(ctx, askNewDevice)
	}
	return c, err
}

// totp makes a code of the secret that the policy names.
func (s *session) totp(ctx context.Context) (*secret.Value, error) {
	seed, err := s.purse.get(ctx, s.cfg.TOTP)
	if err != nil {
		return nil, err
	}
	defer seed.Destroy()
	code, err := vault.Code(seed, time.Now())
	if errors.Is(err, backend.ErrUnsupported) {
		return nil, fmt.Errorf("the totp of the policy: %w: %w", err, backend.ErrRejected)
	}
	return code, err
}
