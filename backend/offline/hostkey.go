package offline

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"filippo.io/age"
	"filippo.io/age/agessh"

	"github.com/secretfs/secretfs/backend/secret"
)

// maxKey is more than any ssh private key is long, in bytes.
const maxKey = 64 << 10

// hostRecipient is the public part of an ssh private key. The key itself is on the
// Go heap for a moment, where the ssh library parses it; what was read is wiped.
func hostRecipient(file string) (age.Recipient, error) {
	text, err := readKey(file)
	if err != nil {
		return nil, err
	}
	defer secret.Wipe(text)
	id, err := agessh.ParseIdentity(text)
	switch id := id.(type) {
	case *agessh.Ed25519Identity:
		return id.Recipient(), nil
	case *agessh.RSAIdentity:
		return id.Recipient(), nil
	}
	if err == nil {
		err = fmt.Errorf("unexpected kind %T", id)
	}
	return nil, fmt.Errorf("host key %s: want an ssh-ed25519 or ssh-rsa private key without a passphrase: %w", file, err)
}

func readKey(file string) ([]byte, error) {
	info, err := os.Stat(file)
	if err == nil && (!info.Mode().IsRegular() || info.Size() > maxKey) {
		return nil, fmt.Errorf("host key %s: it is no ssh private key", file)
	}
	var text []byte
	if err == nil {
		text, err = os.ReadFile(file)
	}
	if in, ok := errors.AsType[*fs.PathError](err); ok {
		err = in.Err
	}
	if err != nil {
		return nil, fmt.Errorf("host key %s: %w", file, err)
	}
	return text, nil
}
