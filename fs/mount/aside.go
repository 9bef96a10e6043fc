package mount

import (
	"fmt"
	"runtime"

	"golang.org/x/sys/unix"
)

// aside runs f on a thread of its own that shares no descriptor with us but
// keep (-1 for none), and gives what f returns. Whoever asks our own mount for
// something has to: a thread that waits there cannot be killed, and if it had
// /dev/fuse open the connection would outlive holder and worker both, with
// nobody to answer. This way the kernel aborts it when we die, and the thread
// goes. The channel has room: nobody needs to wait for the answer.
func aside(keep int, f func() error) <-chan error {
	result := make(chan error, 1)
	go func() {
		// Never unlocked: the thread ends with the goroutine.
		runtime.LockOSThread()
		if err := keepOnly(keep); err != nil {
			result <- fmt.Errorf("leaving our descriptors behind: %w", err)
			return
		}
		result <- f()
	}()
	return result
}

// keepOnly gives the calling thread a table of descriptors of its own, with
// the standard ones and keep in it.
func keepOnly(keep int) error {
	if err := unix.Unshare(unix.CLONE_FILES); err != nil {
		return err
	}
	const firstOwn, last = 3, ^uint32(0)
	if keep < firstOwn {
		return unix.CloseRange(firstOwn, uint(last), 0)
	}
	if keep > firstOwn {
		if err := unix.CloseRange(firstOwn, uint(keep-1), 0); err != nil {
			return err
		}
	}
	return unix.CloseRange(uint(keep+1), uint(last), 0)
}
