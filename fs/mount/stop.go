package mount

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/secretfs/secretfs/fs/control"
)

// stopGrace is how long a worker may take to end after SIGTERM.
const stopGrace = 2 * time.Second

// handleStop answers a worker's request to unmount. Without lazy, a busy mount
// is left alone and the answer says who keeps it busy.
func (h *Holder) handleStop(m *message) (answer, error) {
	var r stopRequest
	if err := m.decode(&r); err != nil {
		return answer{}, err
	}
	if h.m.covered() && !(r.Lazy && h.m.system) {
		return answer{}, fmt.Errorf("unmounting %s: %w", h.m.dir, errCovered)
	}
	h.stopAsked.Store(true) // that the mount goes is then no news
	if !r.Lazy {
		err := h.m.unmount(false)
		if err != nil {
			h.stopAsked.Store(false)
		}
		if errors.Is(err, unix.EBUSY) {
			return answer{body: stopAnswer{Busy: busy(h.m.id)}}, nil
		}
		if err != nil {
			return answer{}, err
		}
	}
	// The answer has to leave before the worker is told to end.
	time.AfterFunc(50*time.Millisecond, func() { h.stops <- r.Lazy })
	return answer{body: stopAnswer{}}, nil
}

// BusyError is what an unmount without lazy meets.
func BusyError(dir string, by []string) error {
	return fmt.Errorf("unmounting %s: it is in use by %s", dir, strings.Join(by, ", "))
}

// Unmount takes a mount out of the tree whose holder is dead, and the name of
// its control socket. Its worker ends by itself.
func Unmount(dir, socket string, lazy bool) error {
	top, ok, err := topMount(dir)
	if err != nil || !ok || top.kind != fsType {
		return fmt.Errorf("unmounting %s: no secretfs is mounted there", dir)
	}
	m := mounted{dir: dir, system: os.Geteuid() == 0}
	err = m.unmount(lazy)
	if errors.Is(err, unix.EBUSY) {
		return BusyError(dir, busy(top.id))
	}
	if err != nil {
		return fmt.Errorf("unmounting %s: %w", dir, err)
	}
	return control.Remove(socket)
}

// stop unmounts, lazily if somebody keeps the mount busy or has mounted on top
// of it, and ends the worker.
func (h *Holder) stop() error {
	_ = notify("STOPPING=1")
	h.clearShelf()
	err := h.m.unmount(false)
	switch {
	case errors.Is(err, unix.EBUSY):
		for _, who := range busy(h.m.id) {
			h.cfg.Log.Warn("still in use, detaching it from the tree", "mount", h.m.dir, "by", who)
		}
		err = h.m.unmount(true)
	case errors.Is(err, errCovered):
		h.cfg.Log.Warn("something else is mounted on top of it, which stays", "mount", h.m.dir)
		err = h.m.unmount(true)
	}
	h.removeControl()
	h.m.close()
	if c := h.serving(); c != nil {
		c.end()
	}
	if err != nil {
		return fmt.Errorf("unmounting %s: %w", h.m.dir, err)
	}
	return nil
}

// end lets the worker finish, and kills it if it does not.
func (c *child) end() {
	_ = unix.Kill(c.pid, unix.SIGTERM)
	select {
	case <-c.exited:
	case <-time.After(stopGrace):
		c.kill()
	}
}
