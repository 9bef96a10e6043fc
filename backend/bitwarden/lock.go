package bitwarden

import (
	"context"
	"fmt"

	"github.com/secretfs/secretfs/backend"
)

// Lock forgets keys, tokens and names. The copy in the state directory, which is
// ciphertext, stays.
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
	b.wipe()
	b.saveState(nil)
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
