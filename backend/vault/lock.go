package vault

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"github.com/secretfs/secretfs/backend/secret"
)

// Lock forgets everything that opens the vault, and has the server revoke what was
// issued to us.
func (b *Backend) Lock(ctx context.Context) error {
	token, ours, ids := b.surrender()
	defer token.Destroy()
	b.save()
	if token.Bytes() == nil {
		return nil
	}
	if ours { // the server revokes all leases of a token together with it
		if _, err := b.send(ctx, token, request{method: http.MethodPost, path: "auth/token/revoke-self", body: []byte("{}")}); err != nil {
			return fmt.Errorf("revoking the token, which now lives on until it runs out: %w", err)
		}
		return nil
	}
	return b.revoke(ctx, token, ids)
}

// Revoke is Lock, at the end of the mount.
func (b *Backend) Revoke(ctx context.Context) error { return b.Lock(ctx) }

// surrender forgets everything, and gives what there is to revoke.
func (b *Backend) surrender() (token *secret.Value, ours bool, leases []string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.epoch++
	for _, l := range b.leases {
		if l.id != "" && l.usable() {
			leases = append(leases, l.id)
		}
	}
	if b.current != nil {
		token, ours = b.current.token.Share(), b.current.ours
	}
	b.wipe()
	return token, ours, leases
}

// revoke gives leases back (sys/leases/revoke). A token that was given is whoever's
// it is.
func (b *Backend) revoke(ctx context.Context, token *secret.Value, ids []string) error {
	var errs []error
	for _, id := range ids {
		body, err := json.Marshal(map[string]string{"lease_id": id})
		if err != nil {
			return err
		}
		_, err = b.send(ctx, token, request{method: http.MethodPost, path: "sys/leases/revoke", body: body})
		if statusOf(err) == http.StatusForbidden {
			return fmt.Errorf("revoking %d leases, which now live on until they run out: no policy of the token allows to update sys/leases/revoke: %w", len(ids), err)
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// Unlock logs in, and asks the server what it thinks of a token that was given.
func (b *Backend) Unlock(ctx context.Context) error {
	b.mu.Lock()
	b.refusal = pause{}
	b.mu.Unlock()
	s, err := b.session(b.now(ctx))
	if err != nil {
		return fmt.Errorf("opening %s: %w", b.cfg.Address, err)
	}
	if why := b.examine(ctx, s); why != nil {
		b.bury(s, why)
		return fmt.Errorf("opening %s: %w", b.cfg.Address, why)
	}
	return nil
}

// Refresh asks the server whether the leases still live; one that does not is
// replaced by the next read. What else is known of the server is asked again.
func (b *Backend) Refresh(ctx context.Context) error {
	ctx = b.now(ctx)
	b.mu.Lock()
	clear(b.mounts)
	b.refusal = pause{}
	ids := map[string]*lease{}
	for _, l := range b.leases {
		l.refused = pause{}
		if l.id != "" && l.usable() {
			ids[l.id] = l
		}
	}
	b.mu.Unlock()
	for id, l := range ids {
		body, err := json.Marshal(map[string]string{"lease_id": id})
		if err != nil {
			return err
		}
		a, _, err := b.call(ctx, request{method: http.MethodPost, path: "sys/leases/lookup", body: body})
		if code := statusOf(err); code == http.StatusBadRequest || code == http.StatusNotFound {
			b.drop(l, id)
		} else if err != nil && code != http.StatusForbidden {
			return fmt.Errorf("looking leases up: %w", err)
		}
		if a != nil {
			a.wipe()
		}
	}
	return nil
}

// drop forgets the answer of a lease that has ended.
func (b *Backend) drop(l *lease, id string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if l.id == id {
		l.data.Destroy()
		l.data, l.id, l.span = nil, "", span{}
	}
}
