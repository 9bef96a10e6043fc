package keys

import (
	"context"
	"errors"
	"io"
	"strings"

	"filippo.io/age"
	"filippo.io/age/armor"

	"github.com/secretfs/secretfs/backend"
	"github.com/secretfs/secretfs/backend/helper"
	"github.com/secretfs/secretfs/backend/secret"
)

// Lengths in bytes: of an AES-256 data key, and of a Shamir share of one, which
// ends with its x coordinate (sops/v3/shamir).
const (
	dataKeyLen = 32
	shareLen   = dataKeyLen + 1
)

// openAge tries the native identities, that of the named recipient first.
func (h *hand) openAge(_ context.Context, k MasterKey) (*secret.Value, error) {
	if k.Type != Age || len(h.ages) == 0 {
		return nil, errNoMatch
	}
	owner := h.ownerOf(k.Fields["recipient"])
	v, err := decryptAge(k.enc(), h.agesFrom(owner))
	switch {
	case err == nil:
		return v, nil
	case owner != nil:
		return nil, helper.Refuse(backend.ErrRejected, "%s is the key for %s and does not open its entry: the entry is damaged or was made for another key", owner.origin, k)
	case errors.As(err, new(*age.NoIdentityMatchError)):
		return nil, errNoMatch
	default:
		return nil, helper.Refuse(backend.ErrRejected, "the entry of %s is damaged", k)
	}
}

// ownerOf is the identity whose recipient is the named one, nil if none is.
func (h *hand) ownerOf(recipient string) *ageIdentity {
	if strings.HasPrefix(recipient, "ssh-") {
		recipient = sshRecipient(recipient)
	}
	for i := range h.ages {
		if h.ages[i].recipient == recipient {
			return &h.ages[i]
		}
	}
	return nil
}

// agesFrom lists all identities, owner first. All, because nothing vouches for
// the recipient that the file names.
func (h *hand) agesFrom(owner *ageIdentity) []age.Identity {
	ids := make([]age.Identity, 0, len(h.ages)+1)
	if owner != nil {
		ids = append(ids, owner.Identity)
	}
	for i := range h.ages {
		if &h.ages[i] != owner {
			ids = append(ids, h.ages[i].Identity)
		}
	}
	return ids
}

// decryptAge opens an armored age file that holds a data key or a share.
func decryptAge(enc string, ids []age.Identity) (*secret.Value, error) {
	r, err := age.Decrypt(armor.NewReader(strings.NewReader(enc)), ids...)
	if err != nil {
		return nil, err
	}
	return readShare(r)
}

// readShare reads r to its end, where ciphers check their authentication code,
// into locked memory.
func readShare(r io.Reader) (*secret.Value, error) {
	buf := make([]byte, shareLen+1)
	n, err := io.ReadFull(r, buf)
	if !errors.Is(err, io.ErrUnexpectedEOF) {
		secret.Wipe(buf)
		return nil, errors.New("not a data key, or damaged")
	}
	return secret.From(buf[:n])
}
