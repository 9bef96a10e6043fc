package watch

import (
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// maxLinks is how many symbolic links the kernel follows (path_resolution(7)).
const maxLinks = 40

// places are directories, each with the names in it that matter. A directory
// without names matters because it may be moved away or removed itself.
type places map[string]names

type names map[string]bool

// every stands for all names in a directory; no file is called like that.
const every = "/"

func (p places) add(dir, name string) {
	if p[dir] == nil {
		p[dir] = names{}
	}
	if name != "" {
		p[dir][name] = true
	}
}

// trace walks to file as the kernel does, and adds every directory it passes: a
// directory may be renamed, a symbolic link on the way switched. Where something
// is missing the walk ends, and its directory is watched for it to appear. With
// all, everything matters that is in file, a directory.
func (p places) trace(file string, all bool) {
	dir, todo := "/", strings.Split(file, "/")
	p.add(dir, "")
	for links := 0; len(todo) > 0; {
		name := todo[0]
		todo = todo[1:]
		switch name {
		case "", ".":
			continue
		case "..":
			dir = filepath.Dir(dir)
			continue
		}
		path := filepath.Join(dir, name)
		p.add(dir, name)
		var st unix.Stat_t
		if unix.Lstat(path, &st) != nil {
			return
		}
		switch st.Mode & unix.S_IFMT {
		case unix.S_IFLNK:
			target, ok := readlink(path)
			if links++; !ok || links > maxLinks {
				return
			}
			if strings.HasPrefix(target, "/") {
				dir = "/"
			}
			todo = append(strings.Split(target, "/"), todo...)
		case unix.S_IFDIR:
			dir = path
			p.add(dir, "")
		}
	}
	if all {
		p.add(dir, every)
	}
}

func readlink(path string) (string, bool) {
	buf := make([]byte, unix.PathMax)
	n, err := unix.Readlink(path, buf)
	return string(buf[:max(n, 0)]), err == nil
}
