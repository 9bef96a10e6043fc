package bws

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"regexp"
	"time"

	"github.com/secretfs/secretfs/backend"
	"github.com/secretfs/secretfs/backend/bitwarden/enc"
	"github.com/secretfs/secretfs/backend/httpc"
	"github.com/secretfs/secretfs/backend/secret"
)

// deviceType is what the official kit calls itself.
const deviceType = "21"

// errRefused: the server knows no such access token, or not any more.
var errRefused = errors.New("the server refuses the access token")

// token goes and gets the access token. The caller destroys it.
func (b *Backend) token(ctx context.Context) (*token, error) {
	source := b.settings.AccessToken
	if b.env.Credential == nil {
		return nil, fmt.Errorf("%s: nobody may ask for it here: %w", source, backend.ErrLocked)
	}
	v, err := b.env.Credential(ctx, source)
	if err != nil {
		return nil, err
	}
	t, err := parseToken(v)
	if err != nil {
		b.forget()
		return nil, fmt.Errorf("%s: %w", source, err)
	}
	return t, nil
}

// forget drops an access token that turned out wrong, where somebody typed it.
func (b *Backend) forget() {
	if b.env.Forget != nil {
		b.env.Forget(b.settings.AccessToken)
	}
}

// logIn opens a new session with t.
func (b *Backend) logIn(ctx context.Context, t *token) (*session, error) {
	body := t.form()
	defer secret.Wipe(body)
	reply, err := b.identity.Do(ctx, httpc.Request{
		Method: http.MethodPost, URL: b.settings.Identity + "/connect/token", Body: body, Repeatable: true,
		Header: http.Header{
			"Content-Type": {"application/x-www-form-urlencoded; charset=utf-8"}, "Accept": {"application/json"}, "Device-Type": {deviceType},
		},
	})
	if err != nil {
		return nil, err
	}
	defer reply.Wipe()
	if !reply.OK() {
		return nil, notLoggedIn(reply)
	}
	return readSession(reply, t)
}

// notLoggedIn says why a login did not work (RFC 6749, 5.2).
func notLoggedIn(reply *httpc.Reply) error {
	var e struct{ Error string }
	_ = json.Unmarshal(reply.Body, &e) // else it is no such answer
	switch {
	case reply.Status >= 500 || reply.Status == http.StatusTooManyRequests:
		return reply.Failure()
	case e.Error == "invalid_client" || e.Error == "invalid_grant":
		return reply.Errorf("%w", errRefused)
	case plainWord.MatchString(e.Error):
		return reply.Errorf("the server answers %s; does it have Secrets Manager (Vaultwarden does not)?: %w", e.Error, backend.ErrUnavailable)
	case reply.Status == http.StatusNotFound:
		return reply.Errorf("there is no identity service at this address; is server, or identity_url, right?: %w", backend.ErrUnavailable)
	}
	return reply.Garbage()
}

var plainWord = regexp.MustCompile(`^[a-z_]{1,40}$`)

func readSession(reply *httpc.Reply, t *token) (*session, error) {
	var answer struct {
		AccessToken      json.RawMessage `json:"access_token"`
		ExpiresIn        int64           `json:"expires_in"` // seconds
		EncryptedPayload string          `json:"encrypted_payload"`
	}
	err := json.Unmarshal(reply.Body, &answer)
	defer secret.Wipe(answer.AccessToken)
	jwt := unquote(answer.AccessToken)
	c, ok := readClaims(jwt)
	if err != nil || !ok || answer.EncryptedPayload == "" {
		return nil, reply.Garbage()
	}
	key, err := openPayload(answer.EncryptedPayload, t.key)
	if err != nil {
		return nil, reply.Errorf("%w", err)
	}
	v, err := secret.From(jwt)
	if err != nil {
		key.Destroy()
		return nil, err
	}
	return &session{jwt: v, key: key, org: c.Organization, account: c.Subject, expires: renewal(answer.ExpiresIn)}, nil
}

// renewal is when to log in again: before a session ends by 5 to 15 % of its
// time, so that machines that started together do not log in together.
func renewal(seconds int64) time.Time {
	life := time.Duration(min(max(seconds, 60), 7*24*3600)) * time.Second
	return time.Now().Add(life - life/20 - rand.N(life/10))
}

// openPayload decrypts the organisation's key, with the key in the access token.
func openPayload(payload string, with *enc.Key) (*enc.Key, error) {
	sealed, err := enc.Parse(payload)
	if err != nil {
		return nil, fmt.Errorf("reading the organisation's key: %w", err)
	}
	plain, err := with.Open(sealed)
	if err != nil {
		return nil, fmt.Errorf("decrypting the organisation's key: the part of the access token after the colon is wrong: %w", backend.ErrRejected)
	}
	defer plain.Destroy()
	var answer struct {
		Key json.RawMessage `json:"encryptionKey"`
	}
	err = json.Unmarshal(plain.Bytes(), &answer)
	defer secret.Wipe(answer.Key)
	text := unquote(answer.Key)
	if err != nil || text == nil {
		return nil, fmt.Errorf("reading the organisation's key: it is not there: %w", backend.ErrCorrupt)
	}
	raw := make([]byte, base64.StdEncoding.DecodedLen(len(text)))
	defer secret.Wipe(raw)
	n, err := base64.StdEncoding.Decode(raw, text)
	if err != nil {
		return nil, fmt.Errorf("reading the organisation's key: it is damaged: %w", backend.ErrCorrupt)
	}
	v, err := secret.From(raw[:n])
	if err != nil {
		return nil, err
	}
	return enc.NewKey(v)
}
