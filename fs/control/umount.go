package control

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// umountTimeout is more than a holder gives its worker to end.
const umountTimeout = 10 * time.Second

// Umount asks for the end of the mount, and returns when the processes that
// served it are gone: whoever removes their files next meets nobody. The worker
// that is asked may be gone before it can answer.
func (c *Client) Umount(ctx context.Context, lazy bool) (UmountAnswer, error) {
	var status Status
	var answer UmountAnswer
	if err := c.Call(ctx, CmdStatus, nil, &status); err != nil {
		return answer, err
	}
	// Without it, as in another pid namespace, there is nothing to wait for.
	holder, pidErr := unix.PidfdOpen(status.HolderPID, 0)
	if pidErr == nil {
		defer unix.Close(holder)
	}
	err := c.Call(ctx, CmdUmount, UmountRequest{Lazy: lazy}, &answer)
	if err != nil && !errors.Is(err, ErrBroken) {
		return answer, err
	}
	if pidErr != nil || answer.Orphaned {
		return answer, nil
	}
	return answer, waitForExit(ctx, holder)
}

// waitForExit waits for the end of the process behind a pidfd.
func waitForExit(ctx context.Context, pidfd int) error {
	end := time.Now().Add(umountTimeout)
	for ctx.Err() == nil && time.Now().Before(end) {
		ended, err := hasEnded(pidfd, retryPause)
		if err != nil || ended {
			return err
		}
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return fmt.Errorf("waiting for the holder to end: it still runs after %s", umountTimeout)
}

// hasEnded waits a moment for the end of the process behind a pidfd, which turns
// readable then (pidfd_open(2)).
func hasEnded(pidfd int, within time.Duration) (bool, error) {
	fds := []unix.PollFd{{Fd: int32(pidfd), Events: unix.POLLIN}}
	n, err := unix.Poll(fds, int(within.Milliseconds()))
	if err != nil && !errors.Is(err, unix.EINTR) {
		return false, fmt.Errorf("waiting for the holder to end: %w", err)
	}
	return n > 0, nil
}
