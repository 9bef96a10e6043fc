package audit

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
)

// A Head is the end of a chain: the sequence number of its last record, and the
// hex SHA-256 of its last line without the newline. The zero Head is that of a
// chain without records.
type Head struct {
	Seq  uint64
	Hash string
}

// headSuffix names the file that keeps the head over a rotation, for the case
// that the old file is compressed before a restart.
const headSuffix = ".head"

func writeHead(file string, h Head) error {
	tmp := file + headSuffix + ".new"
	if err := os.WriteFile(tmp, fmt.Appendf(nil, "%d %s\n", h.Seq, h.Hash), 0o600); err != nil {
		return err
	}
	return os.Rename(tmp, file+headSuffix)
}

func readHead(file string) (h Head, err error) {
	text, err := os.ReadFile(file + headSuffix)
	if err != nil {
		return Head{}, err
	}
	var sum []byte
	if _, err := fmt.Sscanf(string(text), "%d %x\n", &h.Seq, &sum); err != nil || len(sum) != sha256.Size {
		return Head{}, fmt.Errorf("reading %s: not \"SEQ SHA256\"", file+headSuffix)
	}
	h.Hash = hex.EncodeToString(sum)
	return h, nil
}

// lastHead finds where the chain ended before file was begun: in the newest
// rotated file or in the head file, whichever is further.
func lastHead(file string) (Head, error) {
	head, err := readHead(file)
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	for _, old := range rotated(file) {
		if compressed(old.name) {
			continue
		}
		h, tailErr := headOf(old.name)
		if tailErr != nil {
			err = errors.Join(err, tailErr)
			continue
		}
		if h.Seq > head.Seq {
			head = h
		}
		break // older ones end earlier
	}
	return head, err
}

func headOf(file string) (Head, error) {
	f, err := os.Open(file)
	if err != nil {
		return Head{}, err
	}
	defer f.Close()
	t, err := readTail(f)
	return t.head, err
}
