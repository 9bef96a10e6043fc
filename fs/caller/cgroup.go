package caller

import (
	"bytes"
	"errors"
)

var errCgroup = errors.New("not in the format of cgroups(7)")

// cgroupPath finds, in the lines "id:controllers:path" of /proc/TID/cgroup,
// where systemd keeps the caller: in cgroup2 ("0::"), or, where that holds
// nothing but its root, in the named hierarchy of version 1.
func cgroupPath(text []byte) ([]byte, error) {
	var unified, named []byte
	for len(text) > 0 {
		line, rest, ok := bytes.Cut(text, []byte{'\n'})
		id, line, ok1 := bytes.Cut(line, []byte{':'})
		controllers, path, ok2 := bytes.Cut(line, []byte{':'})
		if !ok || !ok1 || !ok2 || len(path) == 0 || path[0] != '/' {
			return nil, errCgroup
		}
		switch {
		case string(id) == "0" && len(controllers) == 0:
			unified = path
		case string(controllers) == "name=systemd":
			named = path
		}
		text = rest
	}
	if len(unified) > 1 || named == nil {
		return unified, nil
	}
	return named, nil
}
