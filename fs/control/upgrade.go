package control

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// upgradeTimeout is far more than a holder and a worker need to start.
const upgradeTimeout = time.Minute

// Upgrade asks for the program at binary to take over, and returns when a new
// worker answers. The worker that is asked may be gone before it can say so.
func (c *Client) Upgrade(ctx context.Context, binary string) error {
	ctx, cancel := context.WithTimeout(ctx, upgradeTimeout)
	defer cancel()
	var before, now Status
	if err := c.Call(ctx, CmdStatus, nil, &before); err != nil {
		return err
	}
	// Without it, as in another pid namespace, only the time tells.
	holder, pidErr := unix.PidfdOpen(before.HolderPID, 0)
	if pidErr == nil {
		defer unix.Close(holder)
	}
	if err := c.Call(ctx, CmdUpgrade, UpgradeRequest{Binary: binary}, nil); err != nil && !errors.Is(err, ErrBroken) {
		return err
	}
	for {
		if err := c.Call(ctx, CmdStatus, nil, &now); err != nil {
			return fmt.Errorf("asking the new worker: %w", err)
		}
		if now.UpgradeError != "" {
			return fmt.Errorf("upgrading: %s", now.UpgradeError)
		}
		if now.WorkerPID != before.WorkerPID {
			return nil
		}
		if pidErr == nil {
			if ended, _ := hasEnded(holder, 0); ended {
				return fmt.Errorf("upgrading: %s has ended at once, and the holder with it: the worker serves on; start secretfs mount again, which takes over", binary)
			}
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting for the new worker: %w", ctx.Err())
		case <-time.After(retryPause):
		}
	}
}
