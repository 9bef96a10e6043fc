package audit

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
)

// A tail is the end of a log file.
type tail struct {
	size int64 // of the whole lines
	torn int64 // bytes after the last newline
	// head is the hash of the last whole line and the highest sequence number
	// near the end; zero for a file without whole lines.
	head Head
}

// foreign bounds how many lines that are no records are passed over to find a
// sequence number.
const foreign = 1000

// readTail reads backwards, so that a long log opens as fast as a short one.
func readTail(f *os.File) (tail, error) {
	info, err := f.Stat()
	if err != nil {
		return tail{}, err
	}
	end, err := lastNewline(f, info.Size())
	if err != nil {
		return tail{}, err
	}
	t := tail{size: end, torn: info.Size() - end}
	for range foreign {
		if end == 0 {
			break
		}
		start, err := lastNewline(f, end-1)
		if err != nil {
			return tail{}, err
		}
		line := io.NewSectionReader(f, start, end-1-start)
		if t.head.Hash == "" {
			if t.head.Hash, err = hashOf(line); err != nil {
				return tail{}, fmt.Errorf("reading the end of %s: %w", f.Name(), err)
			}
		}
		if t.head.Seq = seqOf(line); t.head.Seq != 0 {
			break
		}
		end = start
	}
	return t, nil
}

func hashOf(line *io.SectionReader) (string, error) {
	h := sha256.New()
	if _, err := io.Copy(h, line); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// seqOf is 0 for a line that is no record.
func seqOf(line *io.SectionReader) uint64 {
	if line.Size() > maxLine {
		return 0
	}
	text := make([]byte, line.Size())
	if _, err := line.ReadAt(text, 0); err != nil && !errors.Is(err, io.EOF) {
		return 0
	}
	r, err := ParseLine(text)
	if err != nil {
		return 0
	}
	return r.Seq
}

// lastNewline is the offset just after the last newline before end, or 0.
func lastNewline(f *os.File, end int64) (int64, error) {
	// A record is some 500 bytes; the buffer grows for what is not one.
	for size := int64(4096); end > 0; size = min(2*size, 1<<20) {
		n := min(size, end)
		buf := make([]byte, n)
		if _, err := f.ReadAt(buf, end-n); err != nil && !errors.Is(err, io.EOF) {
			return 0, fmt.Errorf("reading the end of %s: %w", f.Name(), err)
		}
		if i := bytes.LastIndexByte(buf, '\n'); i >= 0 {
			return end - n + int64(i) + 1, nil
		}
		end -= n
	}
	return 0, nil
}
