package policy

import (
	"fmt"
	"path"
	"strings"
)

// Limits of the kernel: NAME_MAX, and PATH_MAX without its final NUL.
const (
	maxName = 255
	maxPath = 4095
)

// reserved is a first name that later versions use themselves.
const reserved = ".users"

// checkPath says what is wrong with the path of a secret or directory, and ""
// where nothing is.
func checkPath(p string) string {
	switch {
	case p == "":
		return "has no name"
	case p[0] == '/':
		return fmt.Sprintf("is absolute; want it relative to the mount: %q", path.Clean(p)[1:])
	case len(p) > maxPath:
		return fmt.Sprintf("is %d bytes long; the limit is %d", len(p), maxPath)
	}
	for first, rest, more := "", p, true; more; {
		var name string
		name, rest, more = strings.Cut(rest, "/")
		if first == "" && name == reserved {
			return fmt.Sprintf("begins with %q, which is reserved", reserved)
		}
		if msg := checkName(name); msg != "" {
			return msg
		}
		first = name
	}
	return ""
}

func checkName(name string) string {
	switch {
	case name == "":
		return "has an empty name in it"
	case name == "." || name == "..":
		return fmt.Sprintf("has the name %q in it", name)
	case len(name) > maxName:
		return fmt.Sprintf("has a name of %d bytes in it; the limit is %d", len(name), maxName)
	case hasControl(name):
		return "has a control character in it"
	}
	return ""
}

// hasControl says whether text holds a C0 control character or DEL: NUL ends
// a name, newlines and escapes forge lines in logs and terminals.
func hasControl(text string) bool {
	for i := range len(text) {
		if text[i] < ' ' || text[i] == 0x7f {
			return true
		}
	}
	return false
}

// comparePaths orders clean paths as a tree is walked: name by name, so that
// everything below a directory follows it at once ("a", "a/b", "a-b").
func comparePaths(a, b string) int {
	n := min(len(a), len(b))
	for i := range n {
		if a[i] != b[i] {
			return int(order(a[i])) - int(order(b[i]))
		}
	}
	return len(a) - len(b)
}

func order(c byte) byte {
	if c == '/' {
		return 0 // control characters are not in paths
	}
	return c
}

// isBelow says whether the clean path p lies below dir, "" being the root.
func isBelow(p, dir string) bool {
	if dir == "" {
		return p != ""
	}
	return len(p) > len(dir) && p[len(dir)] == '/' && p[:len(dir)] == dir
}

// parent is the directory that holds p, "" for a name in the root.
func parent(p string) string {
	return p[:max(0, strings.LastIndexByte(p, '/'))]
}
