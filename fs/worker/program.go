package worker

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// madvDontNeedLocked is MADV_DONTNEED for pages that are locked too (madvise(2),
// since Linux 5.18), as mlockall(2) has locked ours.
const madvDontNeedLocked = 24

// dropProgram gives back the pages of the program's code and constants. Most of
// them have served the start alone; what is used again the kernel brings back
// from its page cache, where it is in common with the holder.
func dropProgram() error {
	maps, err := os.Open("/proc/self/smaps")
	if errors.Is(err, fs.ErrNotExist) {
		return nil // a kernel without CONFIG_PROC_PAGE_MONITOR: they stay
	}
	if err != nil {
		return err
	}
	defer maps.Close()
	areas, err := unchanged(maps)
	if err != nil {
		return err
	}
	for _, a := range areas {
		_, _, errno := unix.Syscall(unix.SYS_MADVISE, a.from, a.to-a.from, madvDontNeedLocked)
		if errno != 0 && errno != unix.EINVAL { // before Linux 5.18 they stay
			return fmt.Errorf("giving back pages of the program: %w", errno)
		}
	}
	return nil
}

// An area is a range of addresses.
type area struct{ from, to uintptr }

// unchanged finds the areas of /proc/self/smaps whose pages are all those of a
// file. Others must be kept, even where they cannot be written now: that is how
// a program looks that was relocated (-buildmode=pie), or has a breakpoint.
func unchanged(smaps io.Reader) ([]area, error) {
	var found []area
	candidate := false
	lines := bufio.NewScanner(smaps)
	for lines.Scan() {
		fields := bytes.Fields(lines.Bytes())
		switch {
		case len(fields) >= 5 && !bytes.HasSuffix(fields[0], []byte(":")): // from-to perms offset dev inode [path]
			a, err := parseArea(fields[0])
			if err != nil {
				return nil, err
			}
			if candidate = constant(fields[1]) && string(fields[4]) != "0"; candidate {
				found = append(found, a)
			}
		case candidate && len(fields) == 3 && own(string(fields[0])) && string(fields[1]) != "0":
			found, candidate = found[:len(found)-1], false
		}
	}
	return found, lines.Err()
}

// constant says that an area is private and cannot be written.
func constant(perms []byte) bool {
	return len(perms) == 4 && perms[1] == '-' && perms[3] == 'p'
}

// own says that a field counts pages that the file does not have.
func own(field string) bool { return field == "Anonymous:" || field == "Swap:" }

func parseArea(text []byte) (area, error) {
	from, to, ok := bytes.Cut(text, []byte{'-'})
	a, err1 := strconv.ParseUint(string(from), 16, 64)
	b, err2 := strconv.ParseUint(string(to), 16, 64)
	if !ok || err1 != nil || err2 != nil || a >= b {
		return area{}, fmt.Errorf("reading /proc/self/smaps: %q is no range of addresses", text)
	}
	return area{uintptr(a), uintptr(b)}, nil
}
