package bws

import (
	"encoding/base64"
	"encoding/json"
	"strings"
	"time"

	"github.com/secretfs/secretfs/backend/bitwarden/enc"
	"github.com/secretfs/secretfs/backend/secret"
)

// A session is what a login gives. It does not change once made.
type session struct {
	jwt     *secret.Value
	key     *enc.Key  // of the organisation
	org     string    // the organisation's id
	account string    // the machine account's id
	expires time.Time // by our clock
}

func (s *session) destroy() {
	if s != nil {
		s.jwt.Destroy()
		s.key.Destroy()
	}
}

// claims are what a session's token tells of itself (RFC 7519). Nobody but the
// server can check them.
type claims struct {
	Organization string `json:"organization"`
	Subject      string `json:"sub"`
}

func readClaims(jwt []byte) (c claims, ok bool) {
	parts := strings.Split(string(jwt), ".") // the payload holds no secret, and is public without the signature
	if len(parts) != 3 {
		return c, false
	}
	payload, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(parts[1], "="))
	if err != nil || json.Unmarshal(payload, &c) != nil {
		return c, false
	}
	return c, isUUID(c.Organization)
}

// unquote takes the bytes of a JSON string that needs no escapes.
func unquote(raw json.RawMessage) []byte {
	if len(raw) < 2 || raw[0] != '"' || raw[len(raw)-1] != '"' {
		return nil
	}
	return raw[1 : len(raw)-1]
}
