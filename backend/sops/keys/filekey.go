package keys

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"filippo.io/age"

	"github.com/secretfs/secretfs/backend"
	"github.com/secretfs/secretfs/backend/helper"
	"github.com/secretfs/secretfs/backend/secret"
)

// headerField holds, in a master key that stands for a whole age file, the
// header of that file in place of an encrypted data key.
const headerField = "header"

// FileKey recovers the file key (16 bytes, age-encryption.org/v1) of the age file
// that header is of, which the caller destroys. The MAC of the header is checked.
//
// The error wraps ErrLocked (nothing at hand matches), ErrCorrupt (the header is
// damaged or forged), and what DataKey answers where plugins are asked.
func (r *Ring) FileKey(ctx context.Context, header []byte) (*secret.Value, error) {
	return r.withProtected(ctx, func() (*secret.Value, error) { return r.fileKey(ctx, header) })
}

func (r *Ring) fileKey(ctx context.Context, header []byte) (*secret.Value, error) {
	h, err := r.take()
	if err != nil {
		return nil, err
	}
	none := &age.NoIdentityMatchError{}
	key, err := age.DecryptHeader(header, append(h.agesFrom(nil), nobody{})...)
	switch {
	case err == nil:
		return secret.From(key)
	case !errors.As(err, &none):
		return nil, helper.Refuse(backend.ErrCorrupt, "the header is damaged or forged")
	}
	v, err := r.askPlugin(h, false)(ctx, MasterKey{
		Type: Age, Fields: map[string]string{"recipient": "the file key", headerField: string(header)},
	})
	switch {
	case errors.Is(ctx.Err(), context.Canceled):
		v.Destroy()
		return nil, fmt.Errorf("recovering the file key: %w", ctx.Err())
	case errors.Is(err, errNoMatch):
		return nil, helper.Refuse(backend.ErrLocked, "%s", sentence([]string{h.unmatched(none.StanzaTypes)}, nil, h.problems))
	case err != nil:
		return nil, helper.Refuse(worst([]error{err}), "%s", sentence(nil, []error{err}, h.problems))
	}
	return v, nil
}

// unmatched says for whom a file is that nothing at hand opens.
func (h *hand) unmatched(types []string) string {
	lead := "no identity matches"
	if len(h.ages)+len(h.plugins) == 0 {
		lead = "no identity is at hand"
	}
	slices.Sort(types)
	var names []string
	for _, t := range slices.Compact(types) {
		if !strings.HasSuffix(t, "-grease") { // noise that some clients add on purpose
			names = append(names, helper.Printable(t, maxName))
		}
	}
	const most = 5
	if n := len(names); n > most {
		names = append(names[:most], fmt.Sprintf("%d more kinds", n-most))
	}
	return fmt.Sprintf("%s: it is encrypted to recipients of type %s", lead, strings.Join(names, ", "))
}

// nobody is an identity that matches nothing: without any, age says so in
// another way.
type nobody struct{}

func (nobody) Unwrap([]*age.Stanza) ([]byte, error) { return nil, age.ErrIncorrectIdentity }

// open has ids open what k is: a data key, or the header of an age file.
func (k MasterKey) open(ids []age.Identity) (*secret.Value, error) {
	header := k.Fields[headerField]
	if header == "" {
		return decryptAge(k.enc(), ids)
	}
	key, err := age.DecryptHeader([]byte(header), ids...)
	if err != nil {
		return nil, err
	}
	return secret.From(key)
}
