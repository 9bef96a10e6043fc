package mount

import (
	"os"
	"path"
	"strconv"
	"strings"
)

// Covered says whether something is mounted on top of a path of our mount, in
// any mount namespace that this process can see: InaccessiblePaths= of a unit,
// a volume of a container. The kernel detaches all of these when the name comes
// to lead to another node (d_invalidate in fs/dcache.c), and would show what
// they hide.
func (g *Ground) Covered(secret string) bool {
	device := g.device()
	if device == "" {
		return false
	}
	proc, err := os.Open("/proc")
	if err != nil {
		return false
	}
	defer proc.Close()
	names, _ := proc.Readdirnames(-1)
	seen := make(map[string]bool)
	for _, pid := range names {
		// What is no process has no such link.
		namespace, err := os.Readlink("/proc/" + pid + "/ns/mnt")
		if err != nil || seen[namespace] {
			continue
		}
		seen[namespace] = true
		entries, err := readMounts("/proc/" + pid + "/mountinfo")
		if err == nil && covered(entries, device, "/"+secret) {
			return true
		}
	}
	return false
}

// device is that of our mount, as the holder's namespace has it.
func (g *Ground) device() string {
	entries, _ := readMounts("/proc/" + strconv.Itoa(g.Holder) + "/mountinfo")
	for _, e := range entries {
		if e.id == g.MountID {
			return e.device
		}
	}
	return ""
}

// covered says whether a mount in entries lies on a path of the filesystem on
// device, whatever part of it is mounted wherever.
func covered(entries []mountEntry, device, secret string) bool {
	ours := make(map[int]mountEntry)
	for _, e := range entries {
		if e.device == device {
			ours[e.id] = e
		}
	}
	for _, e := range entries {
		parent, ok := ours[e.parent]
		if rest, below := strings.CutPrefix(e.dir, parent.dir); ok && below && path.Join(parent.root, rest) == secret {
			return true
		}
	}
	return false
}
