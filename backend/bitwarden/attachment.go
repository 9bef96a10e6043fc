package bitwarden

import (
	"context"
	"fmt"
	"runtime/debug"

	"github.com/secretfs/secretfs/backend"
	"github.com/secretfs/secretfs/backend/bitwarden/api"
	"github.com/secretfs/secretfs/backend/bitwarden/vault"
	"github.com/secretfs/secretfs/backend/secret"
)

// attachment fetches the content of one and decrypts it.
func (b *Backend) attachment(ctx context.Context, place *vault.Place) (*secret.Value, error) {
	for again := range 2 {
		token, err := b.token(ctx)
		if err != nil {
			return nil, err
		}
		content, err := b.client.Attachment(ctx, token, place.Item, place.Attachment)
		token.Destroy()
		if e := api.AsError(err); e != nil && e.Status == 401 && again == 0 {
			b.dropToken(ctx)
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("fetching an attachment: %w", err)
		}
		v, err := place.OpenContent(content)
		if len(content) > tidyAfter {
			content = nil
			debug.FreeOSMemory()
		}
		if err != nil {
			return nil, backend.Alone(err)
		}
		return v, nil
	}
	return nil, fmt.Errorf("fetching an attachment: the server takes no token: %w", backend.ErrRejected)
}

// token shares an access token that is good now.
func (b *Backend) token(ctx context.Context) (*secret.Value, error) {
	if err := b.takeTurn(ctx); err != nil {
		return nil, err
	}
	defer b.giveTurn()
	t, err := b.session.access(ctx)
	if err != nil {
		return nil, err
	}
	return t.Share(), nil
}

func (b *Backend) dropToken(ctx context.Context) {
	if b.takeTurn(ctx) == nil {
		b.session.expire()
		b.giveTurn()
	}
}

// takeTurn waits until the session is free.
func (b *Backend) takeTurn(ctx context.Context) error {
	select {
	case b.turn <- struct{}{}:
	case <-ctx.Done():
		return fmt.Errorf("waiting for the session: %w", context.Cause(ctx))
	}
	if b.ctx.Err() != nil {
		b.giveTurn()
		return errClosed
	}
	return nil
}

func (b *Backend) giveTurn() { <-b.turn }
