package worker

import (
	"context"
	"errors"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// auditCheck is how often the audit log's folder is looked at.
const auditCheck = time.Second

// watchAudit ends this worker when the audit log's folder has been taken away:
// the one that is made in its place is read-only here. The next worker begins
// with a look at the machine as it is then. A log that has never worked is not a
// reason.
func (w *worker) watchAudit(ctx context.Context) {
	if w.audit.Err() != nil {
		return
	}
	tick := time.NewTicker(auditCheck)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if errors.Is(w.audit.Err(), unix.EROFS) {
			w.log.Error("the folder of the audit log has been taken away: giving way to the next worker")
			time.Sleep(50 * time.Millisecond) // the log has a queue
			// By a signal, so that it does not count as a fault.
			_ = unix.Kill(os.Getpid(), unix.SIGKILL)
		}
	}
}
