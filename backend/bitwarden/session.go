package bitwarden

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/secretfs/secretfs/backend"
	"github.com/secretfs/secretfs/backend/bitwarden/api"
	"github.com/secretfs/secretfs/backend/bitwarden/enc"
	"github.com/secretfs/secretfs/backend/bitwarden/kdf"
	"github.com/secretfs/secretfs/backend/helper"
	"github.com/secretfs/secretfs/backend/secret"
)

// A session is one login with the keys of the account. It is used by one
// goroutine at a time.
type session struct {
	cfg    *Settings
	purse  *purse
	client *api.Client
	helper helper.Starter
	log    *slog.Logger

	device string // its UUID
	tokens api.Tokens
	// sealed are tokens of an earlier process until the key is there.
	sealed string
	user   *enc.Key
	// openedFrom is the wrapped key that user comes from.
	openedFrom string
	// What the server has asked for: it is had ready before it is asked again.
	wantsTOTP, wantsNewDevice bool
}

// forget wipes what opens anything. The device stays the same.
func (s *session) forget() {
	s.tokens.Destroy()
	s.user.Destroy()
	s.tokens, s.user = api.Tokens{Account: s.tokens.Account, Expires: s.tokens.Expires}, nil
}

// expire drops the access token.
func (s *session) expire() {
	s.tokens.Access.Destroy()
	s.tokens.Access = nil
}

// access is a token that is good now, which stays the session's. It logs in only
// where there is no other way.
func (s *session) access(ctx context.Context) (*secret.Value, error) {
	if s.tokens.Access.Len() > 0 && time.Now().Before(s.tokens.Expires) {
		return s.tokens.Access, nil
	}
	if s.tokens.Refresh.Len() > 0 {
		err := s.renew(ctx)
		if e := api.AsError(err); e == nil || e.Status != 400 && e.Status != 401 {
			return s.tokens.Access, err
		}
		s.log.Info("the session is over, logging in anew")
		s.tokens.Refresh.Destroy()
		s.tokens.Refresh = nil
	}
	if err := s.login(ctx); err != nil {
		return nil, err
	}
	return s.tokens.Access, nil
}

func (s *session) renew(ctx context.Context) error {
	s.expire()
	t, err := s.client.Login(ctx, api.ByRefresh(s.device, s.tokens.Refresh))
	if err != nil {
		return fmt.Errorf("renewing the session: %w", err)
	}
	s.take(t)
	return nil
}

// take keeps new tokens, and old ones that no new ones came for.
func (s *session) take(t *api.Tokens) {
	s.tokens.Access.Destroy()
	if t.Refresh.Len() > 0 {
		s.tokens.Refresh.Destroy()
	} else {
		t.Refresh = s.tokens.Refresh
	}
	if t.Remember.Len() > 0 {
		s.tokens.Remember.Destroy()
	} else {
		t.Remember = s.tokens.Remember
	}
	if t.Account.WrappedKey == "" {
		t.Account = s.tokens.Account
	}
	s.tokens, s.sealed = *t, ""
	if s.tokens.Account.WrappedKey != s.openedFrom { // the password, or the key, was changed
		s.user.Destroy()
		s.user = nil
	}
}

// unlock opens the account's key with the master password.
func (s *session) unlock(ctx context.Context) error {
	if s.user != nil {
		return nil
	}
	if err := s.decrypts(); err != nil {
		return err
	}
	password, err := s.purse.get(ctx, s.cfg.Password)
	if err != nil {
		return err
	}
	defer password.Destroy()
	a := s.tokens.Account
	if err := s.purse.mayTry(password, a.WrappedKey); err != nil {
		return err
	}
	master, err := s.master(ctx, a.KDF, a.Salt, password)
	if err != nil {
		return err
	}
	defer master.Destroy()
	if err := s.open(master); err != nil {
		return s.purse.wrong(s.cfg.Password, err, password, a.WrappedKey)
	}
	return nil
}

// decrypts says why no master password can open the account.
func (s *session) decrypts() error {
	switch {
	case s.tokens.NoPassword:
		return fmt.Errorf("the account has no master password (it logs in by SSO), and there is no other way to decrypt its vault without a browser: give it one, or use another account: %w", backend.ErrUnsupported)
	case s.tokens.Account.WrappedKey == "":
		return fmt.Errorf("the server has not given the account's encrypted key: %w", backend.ErrUnavailable)
	}
	return nil
}

func (s *session) master(ctx context.Context, p kdf.Params, salt string, password *secret.Value) (*secret.Value, error) {
	if err := p.Check(s.cfg.KDFMemory); err != nil {
		return nil, err
	}
	if salt == "" {
		if salt = strings.ToLower(s.email()); salt == "" {
			return nil, fmt.Errorf("the server does not say whose account this is, which decrypting takes: add email to the policy: %w", backend.ErrLocked)
		}
	}
	return kdf.Derive(ctx, s.helper, p, salt, password)
}

// email is the account's, as the policy or the token says.
func (s *session) email() string {
	if s.cfg.Email != "" {
		return s.cfg.Email
	}
	parts := strings.Split(string(s.tokens.Access.Bytes()), ".")
	if len(parts) != 3 {
		return ""
	}
	var claims struct{ Email string }
	b, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil || json.Unmarshal(b, &claims) != nil {
		return ""
	}
	return strings.TrimSpace(claims.Email)
}

// open opens the account's key with the master key.
func (s *session) open(master *secret.Value) error {
	wrapped := s.tokens.Account.WrappedKey
	text, err := enc.Parse(wrapped)
	if err != nil {
		return fmt.Errorf("the account's encrypted key: %w", err)
	}
	user, err := enc.OpenAccountKey(master, text)
	switch {
	case err == nil:
	case errors.Is(err, backend.ErrCorrupt):
		return fmt.Errorf("the master password does not open the account's key: %w", backend.ErrRejected)
	default:
		return fmt.Errorf("the account's encrypted key: %w", err)
	}
	s.user.Destroy()
	s.user, s.openedFrom = user, wrapped
	return nil
}
