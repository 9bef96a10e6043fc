package bitwarden

import (
	"context"
	"fmt"

	"github.com/secretfs/secretfs/backend"
)

// Lock forgets keys, tokens and names. What stays, here and in the state
// directory, the master password has to open first.
func (b *Backend) Lock(ctx context.Context) error {
	b.mu.Lock()
	if b.flight != nil {
		b.flight.cancel()
	}
	b.mu.Unlock()
	select {
	case b.turn <- struct{}{}:
	case <-ctx.Done():
		return fmt.Errorf("locking: what is under way does not end: %w", backend.ErrTimeout)
	}
	defer b.giveTurn()
	b.restoreSession()
	if b.session.user != nil { // whoever has the password again need not log in
		if sealed, err := b.session.seal(); err == nil {
			b.session.sealed = sealed
		}
	}
	b.wipe()
	b.dropState()
	return nil
}

// Unlock opens the account's keys and asks the server for the vault, unless that
// is done.
func (b *Backend) Unlock(ctx context.Context) error {
	if b.fresh() {
		return nil
	}
	return b.now(ctx)
}
