package caller

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/secretfs/secretfs/policy"
)

var errIDMap = errors.New("not in the format of user_namespaces(7)")

// everyID is what the reader's own user namespace maps: all the ids that the
// reader can see. The last value of 32 bits is none.
var (
	everyID = []policy.IDRange{{First: 0, Count: 1<<32 - 1}}
	rootID  = new(uint32)
)

// maps fills in what the caller's user namespace maps, and returns what its
// root is for the reader, nil if that is nobody. The maps of another namespace
// cannot be remembered: its inode is used again when it is gone. Where ns/user
// is hidden (no CAP_SYS_PTRACE) the maps still tell.
func (t *task) maps(c *policy.Caller) (root *uint32, err error) {
	if t.shares(linkUserNS, t.proc.userNS) {
		c.UIDMap, c.GIDMap = everyID, everyID
		return rootID, nil
	}
	if c.UIDMap, root, err = t.idMap(fileUIDMap); err != nil {
		return nil, fmt.Errorf("uid_map: %w", err)
	}
	if c.GIDMap, _, err = t.idMap(fileGIDMap); err != nil {
		return nil, fmt.Errorf("gid_map: %w", err)
	}
	return root, nil
}

func (t *task) idMap(name []byte) ([]policy.IDRange, *uint32, error) {
	text, err := t.read(name)
	if err != nil {
		return nil, nil, err
	}
	return parseIDMap(text)
}

// parseIDMap reads lines of "inside outside count", where outside is relative
// to the reader's user namespace. root is the outside of 0.
func parseIDMap(text []byte) (ranges []policy.IDRange, root *uint32, err error) {
	for len(text) > 0 {
		var f [3]uint32
		for i := range f {
			var ok bool
			if f[i], text, ok = cutID(bytes.TrimLeft(text, " ")); !ok {
				return nil, nil, errIDMap
			}
		}
		if len(text) == 0 || text[0] != '\n' {
			return nil, nil, errIDMap
		}
		text = text[1:]
		ranges = append(ranges, policy.IDRange{First: f[1], Count: f[2]})
		if f[0] == 0 && f[2] > 0 {
			root = &f[1]
		}
	}
	return ranges, root, nil
}
