package kdf

import (
	"context"
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/sha256"
	"encoding/base64"
	"fmt"

	"golang.org/x/crypto/argon2"

	"github.com/secretfs/secretfs/backend"
	"github.com/secretfs/secretfs/backend/helper"
	"github.com/secretfs/secretfs/backend/secret"
)

// Kind is the kind of helper that derives keys.
const Kind = "bitwarden-kdf"

// A question is what the helper is asked; the password goes with it.
type question struct {
	Params
	Salt string `json:"salt"`
}

// turn is held by the one derivation that may run at a time in this process.
var turn = make(chan struct{}, 1)

// Derive has a helper make the master key (32 bytes) of password, which stays the
// caller's. The error wraps a sentinel of package backend.
func Derive(ctx context.Context, start helper.Starter, p Params, salt string, password *secret.Value) (*secret.Value, error) {
	select {
	case turn <- struct{}{}:
		defer func() { <-turn }()
	case <-ctx.Done():
		return nil, fmt.Errorf("deriving the master key: others are before us: %w", backend.ErrTimeout)
	}
	ask := helper.Ask{
		Call: backend.HelperCall{Kind: Kind}, Body: question{p, salt}, Secrets: []*secret.Value{password}, Limit: keyLen,
	}
	v, err := ask.Do(ctx, start)
	if err == nil && v.Len() != keyLen {
		v.Destroy()
		err = fmt.Errorf("the helper gave a key of another length than %d: %w", keyLen, backend.ErrUnavailable)
	}
	if err != nil {
		return nil, fmt.Errorf("deriving the master key: %w", err)
	}
	return v, nil
}

// Solve is the helper's part. Of the password copies are on its heap, which ends
// with it.
func Solve(_ context.Context, q *helper.Question) (*secret.Value, error) {
	var asked question
	if err := q.Decode(&asked); err != nil {
		return nil, err
	}
	if err := asked.Check(DefaultMaxMemory); err != nil || len(q.Secrets) != 1 {
		return nil, helper.Refuse(backend.ErrUnsupported, "such a key is not derived: %v", err)
	}
	password := q.Secrets[0].Bytes()
	if asked.Type == PBKDF2 {
		key, err := pbkdf2.Key(sha256.New, string(password), []byte(asked.Salt), asked.Iterations, keyLen)
		if err != nil {
			return nil, helper.Refuse(backend.ErrUnsupported, "PBKDF2: %v", err)
		}
		return secret.From(key)
	}
	salt := sha256.Sum256([]byte(asked.Salt))
	return secret.From(argon2.IDKey(password, salt[:], uint32(asked.Iterations), uint32(asked.Memory)<<10, uint8(asked.Parallelism), keyLen))
}

const keyLen = 32

// Hash is what the server is given instead of the password, in base64:
// PBKDF2-HMAC-SHA256 of one iteration, with the master key as password and the
// password as salt. That is one HMAC (RFC 8018 5.2).
func Hash(master, password *secret.Value) (*secret.Value, error) {
	h := hmac.New(sha256.New, master.Bytes())
	h.Write(password.Bytes())
	h.Write([]byte{0, 0, 0, 1})
	sum := h.Sum(nil)
	defer secret.Wipe(sum)
	v, err := secret.New(base64.StdEncoding.EncodedLen(len(sum)))
	if err == nil {
		base64.StdEncoding.Encode(v.Bytes(), sum)
	}
	return v, err
}
