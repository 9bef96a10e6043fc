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

// rotated lists what logrotate(8) makes of file, the newest first: file.1,
// file-20260131, file.1.gz, and, with its `extension` option, stem-20260131.ext.
func rotated(file string) []sibling {
	dir, base := filepath.Split(file)
	ext := filepath.Ext(base)
	stem := strings.TrimSuffix(base, ext)
	entries, err := os.ReadDir(filepath.Clean(dir))
	if err != nil {
		return nil
	}
	var found []sibling
	for _, e := range entries {
		name := e.Name()
		ours := name != base && !strings.HasPrefix(name, base+headSuffix) && !strings.HasPrefix(name, base+tornSuffix) &&
			(strings.HasPrefix(name, base+".") || strings.HasPrefix(name, base+"-") ||
				strings.HasPrefix(name, stem+"-") && strings.HasSuffix(strings.TrimSuffix(name, ".gz"), ext))
		if info, err := e.Info(); ours && err == nil && info.Mode().IsRegular() {
			found = append(found, sibling{dir + name, info})
		}
	}
	slices.SortStableFunc(found, func(a, b sibling) int {
		return cmp.Or(b.info.ModTime().Compare(a.info.ModTime()), strings.Compare(a.name, b.name))
	})
	return found
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
