package sops

import (
	"bytes"
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/secretfs/secretfs/backend"
)

// Every way in which a file is bad, with the kind of error and the sentence that
// a person sees.
func TestSentences(t *testing.T) {
	good := string(mustSeal(t, YAML, "a: one\nb: two\n"))
	sealed := func(i int) string {
		parts := strings.SplitAfter(good[strings.Index(good, "ENC["):], "]")
		return parts[i][strings.Index(parts[i], "ENC["):]
	}
	swapped := strings.NewReplacer(sealed(0), sealed(1), sealed(1), sealed(0)).Replace(good)
	section := good[strings.Index(good, "sops:"):]
	for name, c := range map[string]struct {
		file string
		kind error
		want string
	}{
		"empty":          {"", backend.ErrCorrupt, "the file is empty: damaged or forged"},
		"not encrypted":  {"a: one\n", backend.ErrCorrupt, "it has no sops section; is it encrypted?: damaged or forged"},
		"not YAML":       {"a: [\nb", backend.ErrCorrupt, "line 2: not valid YAML: damaged or forged"},
		"a list":         {"- a\n", backend.ErrCorrupt, "a document must be a mapping: damaged or forged"},
		"twice":          {"a: 1\na: 2\n" + section, backend.ErrCorrupt, "line 2: the key is there twice: damaged or forged"},
		"truncated":      {strings.TrimSuffix(good[:strings.Index(good, "    lastmodified")], "\n"), backend.ErrCorrupt, `its sops section: "lastmodified" must be a timestamp (RFC 3339): damaged or forged`},
		"exchanged":      {swapped, backend.ErrCorrupt, "a value does not decrypt: it was changed, moved or damaged: damaged or forged"},
		"one cut out":    {good[strings.Index(good, "b: "):], backend.ErrCorrupt, "its MAC does not fit its values: it was changed without sops, or damaged: damaged or forged"},
		"in the clear":   {"c: three\n" + good, backend.ErrCorrupt, "a value that must be encrypted is not, or is damaged: damaged or forged"},
		"a clear number": {"c: 3\n" + good, backend.ErrCorrupt, "a value that must be encrypted is not, or is damaged: damaged or forged"},
		"added clear":    {"c_unencrypted: three\n" + good, backend.ErrCorrupt, "its MAC does not fit its values: it was changed without sops, or damaged: damaged or forged"},
		"a number key":   {"1: " + sealed(0) + "\n" + good, backend.ErrCorrupt, "the name of a value must be a string: damaged or forged"},
		"no MAC":         {good[:strings.Index(good, "    mac:")] + "    version: 3.13.3\n", backend.ErrCorrupt, "its MAC does not fit its values: it was changed without sops, or damaged: damaged or forged"},
		"cut in version": {strings.TrimSuffix(good, ".3\n"), backend.ErrCorrupt, `its sops section: "version" must be a version of sops; is the end of the file missing?: damaged or forged`},
		"two rules":      {good + "    encrypted_suffix: x\n", backend.ErrCorrupt, "its sops section has more than one rule on what is encrypted: damaged or forged"},
		"no keys":        {"sops:\n" + section[strings.Index(section, "    lastmod"):], backend.ErrCorrupt, "its sops section names no key: damaged or forged"},
	} {
		f := newFixture(t, []byte(c.file))
		_, err := f.get("a")
		if !errors.Is(err, c.kind) || err.Error() != "reading "+f.file+": "+c.want {
			t.Errorf("%s: %v\nwant %s", name, err, c.want)
		}
		if err != nil && (strings.Contains(err.Error(), "ENC[") || strings.Contains(err.Error(), "three")) {
			t.Errorf("%s: the error quotes a value: %v", name, err)
		}
		f.Close()
	}
}

// TestTooManyEntries refuses what would take the memory of the whole machine.
func TestTooManyEntries(t *testing.T) {
	n := maxNodes + 1
	for name, c := range map[string]struct {
		format Format
		file   string
	}{
		"a flow sequence": {YAML, "a: [" + strings.Repeat("x,", n) + "]\n"},
		"a sequence":      {YAML, "a:\n" + strings.Repeat("- x\n", n)},
		"comments":        {YAML, strings.Repeat("#\n", n)},
		"keys":            {YAML, strings.Repeat("? x\n", n)},
		"documents":       {YAML, strings.Repeat("---\n", n)},
		"old Mac lines":   {YAML, strings.Repeat("#\r", n)},
		"an array":        {JSON, `{"a":[` + strings.Repeat("1,", n) + "1]}"},
		"an object":       {JSON, `{"a":{` + strings.Repeat(`"b":1,`, n) + `"b":1}}`},
		"dotenv":          {Dotenv, strings.Repeat("A=b\n", n)},
		"ini":             {INI, strings.Repeat("a=b\n", n)},
	} {
		if _, err := Parse([]byte(c.file), c.format); !errors.Is(err, backend.ErrCorrupt) || !strings.HasPrefix(err.Error(), "it has too many entries") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestNoFile(t *testing.T) {
	dir := t.TempDir()
	for file, want := range map[string]string{
		dir:                "it is a directory: not reachable",
		"/dev/zero":        "it is no regular file: not reachable",
		dir + "/none/file": "there is no such file: not reachable",
	} {
		f := newFixture(t, nil, func(c *Config) { c.File = file })
		if _, err := f.get("a"); !errors.Is(err, backend.ErrUnavailable) || err.Error() != "reading "+file+": "+want {
			t.Errorf("%s: %v, want %s", file, err, want)
		}
	}
	huge := dir + "/huge"
	write(t, huge, nil)
	if err := os.Truncate(huge, maxFile+1); err != nil {
		t.Fatal(err)
	}
	f := newFixture(t, nil, func(c *Config) { c.File = huge })
	if _, err := f.get("a"); !errors.Is(err, backend.ErrUnsupported) {
		t.Errorf("a file of a gigabyte: %v", err)
	}
}

// A FIFO that somebody writes to is as good as a file.
func TestFIFOWithWriter(t *testing.T) {
	f := newFixture(t, nil)
	mkfifo(t, f.file)
	content := mustSeal(t, YAML, "a: one\nlong: "+strings.Repeat("x", 200_000)+"\n")
	go func() {
		if w, err := os.OpenFile(f.file, os.O_WRONLY, 0); err == nil {
			_, _ = w.Write(content)
			_ = w.Close()
		}
	}()
	if got, err := f.get("long"); len(got) != 200_000 || err != nil {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	if !bytes.Equal(f.good.doc.index.file, content) {
		t.Error("what was read is not what was written")
	}
}
