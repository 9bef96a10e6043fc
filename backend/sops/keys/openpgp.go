package keys

import (
	"context"
	"crypto/rsa"
	"strings"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/armor"
	"github.com/ProtonMail/go-crypto/openpgp/packet"

	"github.com/secretfs/secretfs/backend"
	"github.com/secretfs/secretfs/backend/helper"
	"github.com/secretfs/secretfs/backend/secret"
)

// pgpKey is the OpenPGP key that ssh-to-pgp makes of an RSA key. The creation
// time is part of a version 4 fingerprint (RFC 9580, 5.5.4.2); ssh-to-pgp sets
// it to 1970-01-01T00:00:00Z so that everybody gets the same one.
func pgpKey(key *rsa.PrivateKey) *packet.PrivateKey {
	return packet.NewRSAPrivateKey(time.Unix(0, 0), key)
}

// openPGP tries the RSA keys at hand, without gpg.
func (h *hand) openPGP(_ context.Context, k MasterKey) (*secret.Value, error) {
	if k.Type != PGP || len(h.pgp) == 0 {
		return nil, errNoMatch
	}
	ring := &pgpRing{keys: h.pgp}
	v, err := decryptPGP(k.enc(), ring)
	switch {
	case err == nil:
		return v, nil
	case ring.matched:
		return nil, helper.Refuse(backend.ErrRejected, "an ssh RSA key is the key for %s and does not open its entry, which is damaged", k)
	default:
		return nil, errNoMatch
	}
}

func decryptPGP(enc string, ring openpgp.KeyRing) (*secret.Value, error) {
	block, err := armor.Decode(strings.NewReader(enc))
	if err != nil {
		return nil, err
	}
	message, err := openpgp.ReadMessage(block.Body, ring, nil, nil)
	if err != nil {
		return nil, err
	}
	return readShare(message.UnverifiedBody)
}

// A pgpRing is a keyring of bare primary keys, without user ids, signatures or
// usage flags: ssh keys have none.
type pgpRing struct {
	keys    []*packet.PrivateKey
	matched bool // the message names one of keys
}

// KeysById implements openpgp.KeyRing.
func (r *pgpRing) KeysById(id uint64) (found []openpgp.Key) {
	for _, k := range r.keys {
		if k.KeyId == id {
			r.matched = true
			found = append(found, openpgp.Key{PublicKey: &k.PublicKey, PrivateKey: k})
		}
	}
	return found
}

// KeysByIdUsage implements openpgp.KeyRing.
func (r *pgpRing) KeysByIdUsage(id uint64, _ byte) []openpgp.Key { return r.KeysById(id) }

// DecryptionKeys implements openpgp.KeyRing, for messages that hide whom they
// are for (gpg --hidden-recipient).
func (r *pgpRing) DecryptionKeys() (all []openpgp.Key) {
	for _, k := range r.keys {
		all = append(all, openpgp.Key{PublicKey: &k.PublicKey, PrivateKey: k})
	}
	return all
}
