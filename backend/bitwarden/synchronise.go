package bitwarden

import (
	"context"
	"fmt"
	"log/slog"
	"runtime/debug"
	"time"

	"github.com/secretfs/secretfs/backend"
	"github.com/secretfs/secretfs/backend/bitwarden/api"
	"github.com/secretfs/secretfs/backend/bitwarden/vault"
)

const (
	// syncTime is for fetching a vault, callTime for any other call, at least.
	syncTime, callTime = 2 * time.Minute, 10 * time.Second
	// tidyAfter is how large a vault, or an attachment, must be in bytes for what
	// reading it has left behind to be given back at once.
	tidyAfter = 1 << 20
)

// synchronise brings the vault up to date. It is called with the turn.
func (b *Backend) synchronise(ctx context.Context, anyway bool) error {
	b.restoreSession()
	if err := b.unlockCopy(ctx); err != nil {
		return err
	}
	revision, err := b.revision(ctx)
	if err != nil {
		return err
	}
	if err := b.session.unlock(ctx); err != nil {
		return err
	}
	if !anyway && b.unchanged(revision) {
		if age(b.copied) > copyAgain {
			b.save()
		}
		return nil
	}
	syncCtx, cancel := context.WithTimeout(ctx, syncTime)
	defer cancel()
	raw, err := b.client.Sync(syncCtx, b.session.tokens.Access)
	if err != nil {
		return fmt.Errorf("fetching the vault: %w", err)
	}
	v, err := vault.Open(raw, b.session.user)
	if err != nil {
		return fmt.Errorf("reading the vault: %w", err)
	}
	b.accept(v, copyHead{Mark: b.cfg.mark(), Revision: revision, Synced: time.Now()}, false)
	b.save()
	if len(raw) > tidyAfter {
		debug.FreeOSMemory()
	}
	return nil
}

// revision asks when the vault last changed. A token that is not taken any more
// is replaced, once.
func (b *Backend) revision(ctx context.Context) (int64, error) {
	for again := range 2 {
		before := b.session.tokens.Access
		token, err := b.session.access(ctx)
		if err != nil {
			return 0, err
		}
		if token != before {
			b.saveSession()
		}
		revision, err := b.client.Revision(ctx, token)
		if e := api.AsError(err); e != nil && e.Status == 401 && again == 0 {
			b.session.expire()
			continue
		}
		if err != nil {
			return 0, fmt.Errorf("asking whether the vault has changed: %w", err)
		}
		return revision, nil
	}
	return 0, fmt.Errorf("asking whether the vault has changed: the server takes no token: %w", backend.ErrRejected)
}

// unchanged notes that the vault that is there is the newest, if it is.
func (b *Backend) unchanged(revision int64) bool {
	b.vaultMu.Lock()
	defer b.vaultMu.Unlock()
	if b.vault == nil || b.head.Revision != revision {
		return false
	}
	b.head.Synced, b.offline = time.Now(), false
	return true
}

// accept puts v in the place of the vault that was there.
func (b *Backend) accept(v *vault.Vault, head copyHead, offline bool) {
	b.versions.follow(v)
	b.vaultMu.Lock()
	old := b.vault
	b.vault, b.head, b.offline = v, head, offline
	if old == nil {
		close(b.came)
	}
	b.vaultMu.Unlock()
	old.Destroy()
	level := slog.LevelDebug
	if old == nil {
		level = slog.LevelInfo
	}
	b.log.Log(b.ctx, level, "the vault is there", "items", v.Len(), "offline", offline)
	b.tell()
}
