package systemdcreds

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/secretfs/secretfs/backend"
	"github.com/secretfs/secretfs/backend/program"
	"github.com/secretfs/secretfs/backend/secret"
)

// maxPlain is how long a credential may be (CREDENTIAL_SIZE_MAX of systemd).
const maxPlain = 1 << 20 // bytes

// decrypt has systemd-creds try one name after the other.
func (b *Backend) decrypt(ctx context.Context, names []string, sealed *secret.Value) (*secret.Value, error) {
	if err := check(sealed.Bytes()); err != nil {
		return nil, err
	}
	var err error
	for _, name := range names {
		var v *secret.Value
		v, err = program.Run(ctx, b.start, program.Command{
			Argv: []string{"systemd-creds", "decrypt", "--name=" + name, "-", "-"},
			// Its notes on where the host's key lies are not about this secret.
			Env:  []string{"LC_ALL=C", "SYSTEMD_LOG_LEVEL=err", "SYSTEMD_COLORS=0", "TSS2_LOG=all+NONE"},
			User: asRoot(), Input: sealed, Max: maxPlain,
		})
		if err == nil {
			return v, nil
		}
		if err = explain(err, names); !errors.Is(err, errName) {
			return nil, err
		}
	}
	return nil, err
}

// asRoot is who can read the host's key and open the TPM: root, which as a helper has
// no capabilities. A user mount has one user only.
func asRoot() string {
	if os.Geteuid() == 0 {
		return "0"
	}
	return ""
}

// Headers of credentials begin with how they are sealed (shared/creds-util.h of
// systemd).
var nullKey = []byte{0x05, 0x84, 0x69, 0xda, 0xf6, 0xf5, 0x43, 0x24, 0x80, 0x05, 0x49, 0xda, 0x0f, 0x8e, 0xa2, 0xfb}

// check refuses what systemd-creds need not, or would not, look at.
func check(sealed []byte) error {
	id := make([]byte, len(nullKey))
	if _, err := io.ReadFull(base64.NewDecoder(base64.StdEncoding, bytes.NewReader(sealed)), id); err != nil {
		return fmt.Errorf("it is no credential that systemd-creds has encrypted: %w", backend.ErrCorrupt)
	}
	if bytes.Equal(id, nullKey) {
		return fmt.Errorf("it is encrypted with the null key, so that anybody may have made it; use --with-key=host or tpm2: %w", backend.ErrRejected)
	}
	return nil
}

// errName marks the refusal of a credential because of its name.
var errName = errors.New("it was encrypted under another name")

// explain gives the kind of a refusal. systemd-creds exits with 1 whatever it is, so
// that its words have to tell (creds-util.c; the same from 250 to 257).
func explain(err error, names []string) error {
	text := err.Error()
	said := func(words ...string) bool {
		for _, w := range words {
			if strings.Contains(text, w) {
				return true
			}
		}
		return false
	}
	switch {
	case !errors.Is(err, backend.ErrUnavailable):
		return err
	case said("does not match filename"):
		return fmt.Errorf("%w than %s (name: of the secret can say which): %s: %w",
			errName, strings.Join(names, " or "), text, backend.ErrRejected)
	case said("time passed"):
		return fmt.Errorf("%s: %w", text, backend.ErrExpired)
	case said("Decryption failed"):
		return fmt.Errorf("%s; it is damaged, or encrypted on another machine: %w", text, backend.ErrCorrupt)
	case said("too short", "Unknown encryption format", "not a valid", "Bad message", "Failed to decode", "Invalid argument"):
		return fmt.Errorf("%s: %w", text, backend.ErrCorrupt)
	case said("credential key", "credential host", "TPM", "TCTI", "tpm2"):
		return fmt.Errorf("%s: %w", text, backend.ErrLocked)
	}
	return err
}
