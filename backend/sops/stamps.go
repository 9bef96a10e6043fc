package sops

import (
	"encoding/binary"
	"hash/fnv"

	"golang.org/x/sys/unix"
)

// stamps tell whether the file or a key file may have changed, without reading
// them.
type stamps struct{ file, keys uint64 }

func takeStamps(file string, keyFiles []string) stamps {
	return stamps{file: stampOf(file), keys: stampOf(keyFiles...)}
}

// stampOf digests device, inode, length and the times of last change of files.
// The time of change of the inode tells even where mtime was set back.
func stampOf(files ...string) uint64 {
	h := fnv.New64a()
	for _, name := range files {
		var st unix.Stat_t
		if unix.Stat(name, &st) != nil {
			h.Write([]byte{0})
			continue
		}
		for _, n := range []uint64{st.Dev, st.Ino, uint64(st.Size), uint64(st.Mtim.Nano()), uint64(st.Ctim.Nano())} {
			binary.Write(h, binary.NativeEndian, n)
		}
	}
	return h.Sum64()
}
