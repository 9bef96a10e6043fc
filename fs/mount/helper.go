package mount

import (
	"fmt"
	"os"
	"os/exec"
	"syscall"
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
	program, args := h.cfg.HelperArgs(r.Kind)
	if program == "" {
		return answer{body: helperAnswer{Missing: true}}, nil
	}
	cmd := exec.Command(program, args...)
	cmd.ExtraFiles, cmd.Stderr = m.files, os.Stderr // the socket is descriptor 3
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	cmd.Dir = "/"
	if err := cmd.Start(); err != nil {
		return answer{}, fmt.Errorf("starting helper %s: %w", r.Kind, err)
	}
	deadline := min(time.Duration(r.Milli)*time.Millisecond, maxHelperTime)
	if deadline <= 0 {
		deadline = maxHelperTime
	}
	timer := time.AfterFunc(deadline, func() {
		// Its own session: whatever it has started goes with it.
		_ = unix.Kill(-cmd.Process.Pid, unix.SIGKILL)
	})
	go func() {
		_ = cmd.Wait()
		timer.Stop()
	}()
	return answer{body: helperAnswer{}}, nil
}
