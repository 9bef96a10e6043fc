package worker

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/secretfs/secretfs/fs/mount"
)

// auditFolder makes the audit log's folder if it is missing. Where it cannot be
// had the first worker refuses to serve; a later one serves without, and refuses
// reads until it is there again.
func (w *worker) auditFolder(dir string) (made bool, err error) {
	err = os.MkdirAll(dir, 0o700)
	switch {
	case err == nil:
		return true, nil
	case !w.ground.Later:
		return false, fmt.Errorf("making the folder of the audit log: %w", err)
	}
	w.log.Error("making the folder of the audit log: reads are refused without", "error", err)
	return false, nil
}

// watchAudit ends this worker when another folder has taken the place of the
// audit log's, which is read-only here. The next worker begins with a look at
// the machine as it is then.
func (w *worker) watchAudit(ctx context.Context, dir string) {
	tick := time.NewTicker(folderCheck)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if w.auditFolderMoved(dir) {
			w.giveWay("the folder of the audit log has been replaced")
		}
	}
}

// auditFolderMoved says that the next worker would do better: records cannot be
// written, and the folder is not the one that we may write to. If it is missing
// the next worker makes it, unless we have tried that already.
func (w *worker) auditFolderMoved(dir string) bool {
	if w.audit.Err() == nil {
		return false
	}
	info, err := os.Stat(dir)
	if err != nil {
		return w.auditMount != 0 && os.IsNotExist(err)
	}
	return info.IsDir() && mount.At(dir) != w.auditMount
}
