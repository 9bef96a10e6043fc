package audit

import (
	"bufio"
	"bytes"
	"cmp"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

type sibling struct {
	name string
	info fs.FileInfo
}

// rotated lists what logrotate(8) makes of file, the newest first.
func rotated(file string) []sibling {
	dir, base := filepath.Split(file)
	entries, err := os.ReadDir(filepath.Clean(dir))
	if err != nil {
		return nil
	}
	var found []sibling
	for _, e := range entries {
		if !isRotated(base, e.Name()) {
			continue // to look at it could wait for ever: the mount may lie beside the log
		}
		if info, err := e.Info(); err == nil && info.Mode().IsRegular() {
			found = append(found, sibling{dir + e.Name(), info})
		}
	}
	slices.SortStableFunc(found, func(a, b sibling) int {
		return cmp.Or(b.info.ModTime().Compare(a.info.ModTime()), strings.Compare(a.name, b.name))
	})
	return found
}

// isRotated knows base.1, base-20260131, both with a compressor's suffix, and,
// of logrotate's `extension`, stem-20260131.ext. A digit has to follow, because
// audit-user.jsonl is another log than audit.jsonl.
func isRotated(base, name string) bool {
	digit := func(s string) bool { return s != "" && '0' <= s[0] && s[0] <= '9' }
	if rest, ok := strings.CutPrefix(name, base); ok && rest != "" {
		return (rest[0] == '.' || rest[0] == '-') && digit(rest[1:])
	}
	ext := filepath.Ext(base)
	rest, ok := strings.CutPrefix(name, strings.TrimSuffix(base, ext)+"-")
	return ok && digit(rest) && (filepath.Ext(rest) == ext || compressed(rest) && filepath.Ext(strings.TrimSuffix(rest, filepath.Ext(rest))) == ext)
}

func compressed(name string) bool {
	return slices.Contains([]string{".gz", ".xz", ".zst", ".bz2"}, filepath.Ext(name))
}

// Files lists file and what it was rotated into, in the order of their records,
// for Verify and Show. Files without records, and compressed ones other than
// ".gz", are left out.
func Files(file string) []string {
	type start struct {
		name string
		seq  uint64
	}
	var starts []start
	for _, s := range append(rotated(file), sibling{name: file}) {
		if seq := firstSeq(s.name); seq > 0 {
			starts = append(starts, start{s.name, seq})
		}
	}
	slices.SortStableFunc(starts, func(a, b start) int { return cmp.Compare(a.seq, b.seq) })
	var names []string
	for _, s := range starts {
		names = append(names, s.name)
	}
	return names
}

func firstSeq(name string) uint64 {
	f, err := openPlain(name)
	if err != nil {
		return 0
	}
	defer f.Close()
	br := bufio.NewReader(f)
	for range foreign {
		line, err := br.ReadBytes('\n')
		if err != nil {
			return 0
		}
		if r, err := ParseLine(bytes.TrimSuffix(line, []byte("\n"))); err == nil {
			return r.Seq
		}
	}
	return 0
}
