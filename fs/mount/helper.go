package mount

import (
	"context"
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// maxHelperTime bounds every helper, whatever the worker asks for.
const maxHelperTime = 2 * time.Minute

// handleHelper starts a helper outside of the worker's sandbox, on the socket
// that the worker sent: one request in, one answer out, and killed at its
// deadline. The holder sees none of what is said.
func (h *Holder) handleHelper(m *message) (answer, error) {
	defer closeAll(m.files)
	var r helperRequest
	if err := m.decode(&r); err != nil {
		return answer{}, err
	}
	if len(m.files) != 1 {
		return answer{}, fmt.Errorf("starting helper %s: got %d descriptors, expected one", r.Kind, len(m.files))
	}
	ctx, cancel := context.WithTimeout(context.Background(), helperTime(r.Milli))
	defer cancel()
	h.mu.Lock()
	dir := h.m.dir
	h.mu.Unlock()
	missing, _, err := h.helpers.start(ctx, r.Backend, dir, r.HelperCall, m.files[0])
	return answer{body: helperAnswer{Missing: missing}}, err
}

func helperTime(milli int64) time.Duration {
	d := min(time.Duration(milli)*time.Millisecond, maxHelperTime)
	if d <= 0 {
		return maxHelperTime
	}
	return d
}

// hungUp says that nobody waits at the other end of a socket any more.
func hungUp(fd uintptr) bool {
	fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLRDHUP}}
	n, err := unix.Poll(fds, 0)
	return err == nil && n > 0 && fds[0].Revents&(unix.POLLHUP|unix.POLLRDHUP) != 0
}
