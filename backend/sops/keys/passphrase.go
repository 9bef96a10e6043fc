package keys

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io"

	"filippo.io/age"
	"golang.org/x/crypto/ssh"

	"github.com/secretfs/secretfs/backend"
	"github.com/secretfs/secretfs/backend/helper"
	"github.com/secretfs/secretfs/backend/secret"
)

// maxWork is the highest work factor of scrypt that is tried, 2^20: 1 GiB of
// memory, of which a helper may have two.
const maxWork = 20

// solvePassphrase opens a protected key file: the answer is one without a
// passphrase. The libraries keep copies on the heap of this process, which ends
// with the answer.
func solvePassphrase(_ context.Context, q *helper.Question) (*secret.Value, error) {
	var p protected
	if err := q.Decode(&p); err != nil {
		return nil, err
	}
	if len(q.Secrets) != 1 {
		return nil, helper.Refuse(backend.ErrUnsupported, "one passphrase is needed, have %d", len(q.Secrets))
	}
	switch p.Kind {
	case protectedSSH:
		return openSSH(p.Text, q.Secrets[0].Bytes())
	case protectedAge:
		return openAgeFile(p.Text, q.Secrets[0].Bytes())
	}
	return nil, helper.Refuse(backend.ErrUnsupported, "no key file is protected by %q", p.Kind)
}

func openSSH(text, pass []byte) (*secret.Value, error) {
	key, err := ssh.ParseRawPrivateKeyWithPassphrase(text, pass)
	if errors.Is(err, x509.IncorrectPasswordError) {
		return nil, helper.Refuse(backend.ErrRejected, "the passphrase is wrong")
	}
	if err != nil {
		return nil, helper.Refuse(backend.ErrUnsupported, "the ssh key is malformed, or of a kind that is not supported")
	}
	block, err := ssh.MarshalPrivateKey(key, "")
	if err != nil {
		return nil, helper.Refuse(backend.ErrUnsupported, "age cannot use this kind of ssh key, expected ed25519 or rsa")
	}
	return secret.From(pem.EncodeToMemory(block))
}

func openAgeFile(text, pass []byte) (*secret.Value, error) {
	id, err := age.NewScryptIdentity(string(pass))
	if err != nil {
		return nil, helper.Refuse(backend.ErrRejected, "the passphrase is empty")
	}
	id.SetMaxWorkFactor(maxWork)
	r, err := age.Decrypt(dearmored(text), id)
	if errors.As(err, new(*age.NoIdentityMatchError)) {
		return nil, helper.Refuse(backend.ErrRejected, "the passphrase is wrong")
	}
	var plain []byte
	if err == nil {
		plain, err = io.ReadAll(io.LimitReader(r, maxKeyFile+1))
	}
	switch {
	case err != nil:
		return nil, helper.Refuse(backend.ErrCorrupt, "it is damaged, or takes more than 2^%d steps of scrypt to open", maxWork)
	case len(plain) > maxKeyFile:
		return nil, helper.Refuse(backend.ErrUnsupported, "it is longer than %d bytes", maxKeyFile)
	case bytes.HasPrefix(plain, []byte("age-encryption.org/")):
		return nil, helper.Refuse(backend.ErrUnsupported, "what is in it is encrypted once more")
	}
	return secret.From(plain)
}
