package sops

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	oracle "github.com/getsops/sops/v3"
	"github.com/secretfs/secretfs/backend"
	"go.yaml.in/yaml/v3"
)

// compare checks that the oracle and this package make the same of file: the
// same plaintext, or both refuse it.
func compare(t testing.TB, format Format, file []byte) (accepted bool) {
	t.Helper()
	branches, want, wantErr := oracleReads(format, file)
	d, err := open(format, file)
	if errors.Is(err, backend.ErrCorrupt) && commentedValue.Match(file) {
		return false
	}
	if (err == nil) != (wantErr == nil) {
		t.Errorf("%s: sops says %v, we say %v, of\n%s", format, wantErr, err, file)
		return false
	}
	if err != nil {
		if !errors.Is(err, backend.ErrCorrupt) {
			t.Errorf("%s: the error is not ErrCorrupt: %v, of\n%s", format, err, file)
		}
		return false
	}
	whole, err := wholeOf(d)
	if lossy(branches) {
		want = whole
	}
	if want != nil && (err != nil || !bytes.Equal(whole, want)) {
		t.Errorf("%s: the whole file is, for sops\n%s\nand for us (%v)\n%s\nof\n%s", format, want, err, whole, file)
	}
	if want == nil && err == nil && format != INI { // sops panics at some comments
		t.Errorf("%s: sops cannot write the file, we give\n%s\nof\n%s", format, whole, file)
	}
	if format != Binary && len(branches) > 0 {
		comparer{t, format, d, file, ambiguous(branches[0])}.branch("", branches[0])
	}
	return true
}

func wholeOf(d *Document) ([]byte, error) {
	s, err := d.Get("")
	if err != nil {
		return nil, err
	}
	defer s.Value.Destroy()
	return bytes.Clone(s.Value.Bytes()), nil
}

// oracleReads gives the decrypted tree and the plaintext file, nil where sops
// cannot write it.
func oracleReads(format Format, file []byte) (branches oracle.TreeBranches, plain []byte, err error) {
	defer panicked(&err)
	if branches, err = unseal(format, file); err != nil {
		return nil, nil, err
	}
	return branches, oracleEmits(format, branches), nil
}

func oracleEmits(format Format, branches oracle.TreeBranches) (plain []byte) {
	defer func() { _ = recover() }()
	plain, err := storeFor(format).EmitPlainFile(branches)
	if err != nil {
		return nil
	}
	return append([]byte{}, plain...)
}

// commentedValue finds comments that hold an encrypted value, which come to be
// where a comment and a value were exchanged. sops takes both for what they were
// if both have the same additional data, as an entry of a list and a comment
// beside it have, and a comment becomes a value. We refuse the file.
var commentedValue = regexp.MustCompile(`[#;] ?ENC\[[^\]]*type:(str|int|float|bool|time)\]`)

// lossy says that v holds a string that sops writes into YAML as null.
func lossy(v any) bool {
	switch v := v.(type) {
	case oracle.TreeBranches:
		return slices.ContainsFunc(v, func(b oracle.TreeBranch) bool { return lossy(b) })
	case oracle.TreeBranch:
		return slices.ContainsFunc(v, func(i oracle.TreeItem) bool { return lossy(i.Key) || lossy(i.Value) })
	case []any:
		return slices.ContainsFunc(v, lossy)
	case string:
		return (&yaml.Node{}).Encode(v) != nil
	}
	return false
}

// ambiguous counts how many values a key could mean.
func ambiguous(root oracle.TreeBranch) map[string]int {
	n := map[string]int{}
	var walk func(key string, v any)
	members := func(key string, branch oracle.TreeBranch) {
		for _, item := range branch {
			if name, ok := item.Key.(string); ok {
				n[key+name]++
				walk(key+name, item.Value)
			}
		}
	}
	walk = func(key string, v any) {
		switch v := v.(type) {
		case oracle.TreeBranch:
			members(key+"/", v)
		case []any:
			i := 0
			for _, item := range v {
				if _, comment := item.(oracle.Comment); !comment {
					k := key + "/" + strconv.Itoa(i)
					n[k]++
					walk(k, item)
					i++
				}
			}
		}
	}
	members("", root)
	return n
}

type comparer struct {
	t      testing.TB
	format Format
	doc    *Document
	file   []byte
	keys   map[string]int
}

func (c comparer) branch(prefix string, branch oracle.TreeBranch) {
	for _, item := range branch {
		if name, ok := item.Key.(string); ok {
			c.value(prefix+name, item.Value)
		}
	}
}

func (c comparer) value(key string, v any) {
	if c.keys[key] != 1 || key == "" {
		return
	}
	switch v := v.(type) {
	case oracle.TreeBranch:
		if !lossy(v) {
			c.subtree(key, c.oracleEmitsMap(key, v))
		}
		c.branch(key+"/", v)
	case []any:
		text, err := storeFor(c.format).EmitValue(v)
		if err == nil && !lossy(v) {
			c.subtree(key, text)
		}
		i := 0
		for _, item := range v {
			if _, comment := item.(oracle.Comment); !comment {
				c.value(key+"/"+strconv.Itoa(i), item)
				i++
			}
		}
	default:
		c.leaf(key, v)
	}
}

func (c comparer) oracleEmitsMap(key string, v oracle.TreeBranch) []byte {
	if c.format == INI {
		v = oracle.TreeBranch{{Key: key, Value: v}}
	}
	return oracleEmits(c.format, oracle.TreeBranches{v})
}

func (c comparer) subtree(key string, want []byte) {
	s, err := c.doc.Get(key)
	if want == nil {
		if err == nil && c.format != INI {
			c.t.Errorf("%s: sops cannot write sub-tree %q of\n%s", c.format, key, c.file)
		}
		return
	}
	if err != nil {
		c.t.Errorf("%s: sub-tree %q: %v, of\n%s", c.format, key, err, c.file)
		return
	}
	defer s.Value.Destroy()
	if !bytes.Equal(s.Value.Bytes(), want) {
		c.t.Errorf("%s: sub-tree %q is, for sops\n%s\nand for us\n%s\nof\n%s", c.format, key, want, s.Value.Bytes(), c.file)
	}
}

func (c comparer) leaf(key string, v any) {
	want := canonical(v)
	info, err := c.doc.Stat(key)
	if err != nil || info.Dir || info.Size != int64(len(want)) {
		c.t.Errorf("%s: Stat(%q) says %+v, %v; sops has %q, of\n%s", c.format, key, info, err, want, c.file)
	}
	s, err := c.doc.Get(key)
	if err != nil {
		c.t.Errorf("%s: key %q: %v, of\n%s", c.format, key, err, c.file)
		return
	}
	defer s.Value.Destroy()
	if got := string(s.Value.Bytes()); got != want || s.Version != info.Version {
		c.t.Errorf("%s: key %q is %q for us, %q for sops, of\n%s", c.format, key, got, want, c.file)
	}
}

// canonical is what the package promises to serve for a scalar that sops has.
func canonical(v any) string {
	switch v := v.(type) {
	case nil:
		return "null"
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64)
	case time.Time:
		text, _ := v.MarshalText()
		return string(text)
	}
	return fmt.Sprint(v)
}

// documents is how many files of each format the differential tests make.
var documents = flag.Uint64("documents", 400, "`number` of generated files of each format to compare with sops")

func TestSameAsSops(t *testing.T) {
	for _, format := range Formats {
		t.Run(string(format), func(t *testing.T) {
			t.Parallel()
			made := uint64(0)
			for seed := range *documents {
				g := newGenerator(seed)
				file, err := seal(format, []byte(g.plain(format)), g.options()...)
				if err != nil {
					continue // sops does not encrypt it
				}
				made++
				if compare(t, format, file); t.Failed() {
					t.Fatalf("seed %d", seed)
				}
			}
			if made < *documents/3 {
				t.Errorf("only %d of %d plaintext files could be encrypted", made, *documents)
			}
		})
	}
}

func TestSameAsSopsMutated(t *testing.T) {
	for _, format := range Formats {
		t.Run(string(format), func(t *testing.T) {
			t.Parallel()
			accepted, refused := 0, 0
			for seed := range *documents {
				g := newGenerator(seed)
				file, err := seal(format, []byte(g.plain(format)), g.options()...)
				if err != nil {
					continue
				}
				for range 4 {
					if compare(t, format, g.mutate(file)) {
						accepted++
					} else {
						refused++
					}
				}
				if t.Failed() {
					t.Fatalf("seed %d", seed)
				}
			}
			if accepted == 0 || refused < accepted {
				t.Errorf("%d accepted, %d refused: the mutations do not try much", accepted, refused)
			}
		})
	}
}

// mutate changes a file in one of the ways in which files go wrong.
func (g generator) mutate(file []byte) []byte {
	file = bytes.Clone(file)
	at := g.IntN(len(file))
	switch g.IntN(8) {
	case 0:
		return file[:at]
	case 1:
		file[at] ^= 1 << g.IntN(8)
	case 2:
		return append(file[:at], file[min(len(file), at+1+g.IntN(40)):]...)
	case 3:
		return g.swapSealed(file)
	case 4:
		return g.replace(file, "type:str]", "type:"+pick(g, "int", "float", "bool", "bytes", "time", "comment", "str", "x")+"]")
	case 5:
		lines := strings.SplitAfter(string(file), "\n")
		i, j := g.IntN(len(lines)), g.IntN(len(lines))
		lines[i], lines[j] = lines[j], pick(g, lines[i], "")
		return []byte(strings.Join(lines, ""))
	case 6:
		return g.replace(file, pick(g, "mac", "sops", "lastmodified", "age", "iv:", "tag:", "mac_only_encrypted", "unencrypted", "ENC[", "true", `"`, ","), pick(g, "", "x", "MAC", "Sops", "\n", "#"))
	case 7:
		return g.replace(file, "\n", pick(g, "\r\n", "\n\n", "\n# c\n", " ", "\n---\n", "\n\t", "\n  "))
	}
	return file
}

// replace replaces one occurrence of old.
func (g generator) replace(file []byte, old, with string) []byte {
	n := bytes.Count(file, []byte(old))
	if n == 0 {
		return file
	}
	parts := strings.SplitAfterN(string(file), old, 1+g.IntN(n)+1)
	head := strings.Join(parts[:len(parts)-1], "")
	return []byte(strings.TrimSuffix(head, old) + with + parts[len(parts)-1])
}

// swapSealed exchanges two encrypted values.
func (g generator) swapSealed(file []byte) []byte {
	parts := bytes.Split(file, []byte("ENC["))
	if len(parts) < 3 {
		return file
	}
	i, j := 1+g.IntN(len(parts)-1), 1+g.IntN(len(parts)-1)
	cut := func(p []byte) int { return bytes.IndexByte(p, ']') + 1 }
	a, b := cut(parts[i]), cut(parts[j])
	x := append(bytes.Clone(parts[j][:b]), parts[i][a:]...)
	y := append(bytes.Clone(parts[i][:a]), parts[j][b:]...)
	parts[i], parts[j] = x, y
	return bytes.Join(parts, []byte("ENC["))
}
