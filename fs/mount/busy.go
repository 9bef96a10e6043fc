package mount

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// waiting is who keeps a mount busy and has no file of it open: open(2) holds the
// mount for as long as it waits.
const waiting = "somebody who has no file of it open, as a reader that waits for a secret (--lazy does not wait for them)"

// busy names the processes that have files of mount id open or stand in it, as
// "cat (pid 42)". It reads fdinfo and asks statx for the mount id only, so that
// it cannot wait for the mount itself. It is never empty: somebody there is.
func busy(id int) []string {
	var names []string
	procs, _ := filepath.Glob("/proc/[0-9]*")
	for _, proc := range procs {
		if !uses(proc, id) {
			continue
		}
		comm, _ := os.ReadFile(proc + "/comm")
		names = append(names, fmt.Sprintf("%s (pid %s)", strings.TrimSpace(string(comm)), filepath.Base(proc)))
	}
	if len(names) == 0 {
		return []string{waiting}
	}
	return names
}

func uses(proc string, id int) bool {
	for _, link := range []string{"/cwd", "/root", "/exe"} {
		var s unix.Statx_t
		err := unix.Statx(unix.AT_FDCWD, proc+link, unix.AT_STATX_DONT_SYNC, unix.STATX_MNT_ID, &s)
		if err == nil && s.Mnt_id == uint64(id) {
			return true
		}
	}
	want := []byte("mnt_id:\t" + strconv.Itoa(id) + "\n")
	infos, _ := filepath.Glob(proc + "/fdinfo/*")
	for _, info := range infos {
		if b, err := os.ReadFile(info); err == nil && bytes.Contains(b, want) {
			return true
		}
	}
	return false
}
