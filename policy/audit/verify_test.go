package audit

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// chain makes the lines of a log of n records.
func chain(t testing.TB, n int) [][]byte {
	t.Helper()
	file := filepath.Join(t.TempDir(), "audit.jsonl")
	l, _ := open(t, Config{File: file})
	for i := range n {
		r := read(fmt.Sprint("secret/", i))
		r.Time = time.Unix(int64(i), 0)
		if err := l.Append(r); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	lines := bytes.SplitAfter(text, []byte("\n"))
	return lines[:n]
}

func verify(t *testing.T, lines [][]byte) Report {
	t.Helper()
	rep, err := VerifyReader("log", bytes.NewReader(bytes.Join(lines, nil)))
	if err != nil {
		t.Fatal(err)
	}
	return rep
}

func what(findings []Finding) (all []string) {
	for _, f := range findings {
		all = append(all, f.String())
	}
	return all
}

func TestVerifyTellsWhere(t *testing.T) {
	good := chain(t, 8)
	other := chain(t, 1)
	edit := func(i int, old, new string) func([][]byte) [][]byte {
		return func(l [][]byte) [][]byte {
			if !bytes.Contains(l[i], []byte(old)) {
				t.Fatalf("%q is not in line %d", old, i+1)
			}
			l[i] = bytes.Replace(l[i], []byte(old), []byte(new), 1)
			return l
		}
	}
	for _, c := range []struct {
		name     string
		change   func([][]byte) [][]byte
		problems []string
		notes    []string
	}{
		{name: "untouched", change: func(l [][]byte) [][]byte { return l }},
		{
			"changed", edit(3, `"uid":0`, `"uid":1`),
			[]string{"log:4: record 4: was changed: record 5, which follows, has another hash for it"},
			nil,
		},
		{
			"first changed", edit(0, "secret/0", "secret/9"),
			[]string{"log:1: record 1: was changed: record 2, which follows, has another hash for it"},
			nil,
		},
		{
			"one removed", func(l [][]byte) [][]byte { return slices.Delete(l, 3, 4) },
			[]string{"log:4: record 5: record 4 before it removed"},
			nil,
		},
		{
			"three removed", func(l [][]byte) [][]byte { return slices.Delete(l, 2, 5) },
			[]string{"log:3: record 6: records 3 to 5 before it removed"},
			nil,
		},
		{
			"removed and renumbered", func(l [][]byte) [][]byte {
				return edit(3, `"seq":5`, `"seq":4`)(slices.Delete(l, 3, 4))
			},
			[]string{
				"log:3: record 3: was changed: record 4, which follows, has another hash for it",
				"log:5: record 6: record 5 before it removed",
			},
			nil,
		},
		{
			"swapped", func(l [][]byte) [][]byte { l[3], l[4] = l[4], l[3]; return l },
			[]string{
				"log:4: record 5: record 4 before it removed",
				"log:5: record 4: out of order: it stands after record 5",
			},
			nil,
		},
		{
			"repeated", func(l [][]byte) [][]byte { return slices.Insert(l, 4, l[3]) },
			[]string{"log:5: record 4: out of order: it stands after record 4"},
			nil,
		},
		{
			"garbage inserted", func(l [][]byte) [][]byte { return slices.Insert(l, 4, []byte("{}\n")) },
			[]string{"log:5: this line is no record", "log:5: was changed: record 5, which follows, has another hash for it"},
			nil,
		},
		{
			"replaced by garbage", func(l [][]byte) [][]byte { l[3] = []byte("{\"time\":\"\n"); return l },
			[]string{"log:5: record 5: record 4 before it removed"},
			[]string{"log:4: a torn line"},
		},
		{
			"another chain", func(l [][]byte) [][]byte { return append(l, other[0]) },
			[]string{"log:9: record 1: a new chain begins here, after record 8"},
			nil,
		},
		{
			"beginning cut off", func(l [][]byte) [][]byte { return l[3:] },
			nil,
			[]string{"log:1: record 4: the chain begins before this record, in a file that is gone or was not given"},
		},
		{
			"beginning cut off and hidden", func(l [][]byte) [][]byte {
				l[3] = []byte(string(l[3][:bytes.Index(l[3], []byte(`"prev":"`))]) + `"prev":""}` + "\n")
				return l[3:]
			},
			[]string{
				"log:1: record 4: a new chain begins here, but not with record 1",
				"log:1: record 4: was changed: record 5, which follows, has another hash for it",
			},
			nil,
		},
		{
			"end torn", func(l [][]byte) [][]byte { l[7] = l[7][:20]; return l },
			nil,
			[]string{"log:8: an unfinished line of 20 bytes"},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			rep := verify(t, c.change(slices.Clone(good)))
			if got := what(rep.Problems); !slices.Equal(got, c.problems) {
				t.Errorf("problems\n got  %s\n want %s", strings.Join(got, "\n      "), strings.Join(c.problems, "\n      "))
			}
			if got := what(rep.Notes); !slices.Equal(got, c.notes) {
				t.Errorf("notes: got %q want %q", got, c.notes)
			}
		})
	}
}

// Only the Head tells that lines at the end are missing.
func TestHeadTellsACutEnd(t *testing.T) {
	lines := chain(t, 4)
	whole, cut := verify(t, lines), verify(t, lines[:3])
	if len(cut.Problems) > 0 || cut.Head == whole.Head || cut.Head.Seq != 3 {
		t.Errorf("%+v", cut)
	}
}

func TestVerifyAcrossFiles(t *testing.T) {
	lines := chain(t, 9)
	dir := t.TempDir()
	var files []string
	for i := range 3 {
		name := filepath.Join(dir, fmt.Sprint("audit.jsonl.", 3-i))
		if err := os.WriteFile(name, bytes.Join(lines[3*i:3*i+3], nil), 0o600); err != nil {
			t.Fatal(err)
		}
		files = append(files, name)
	}
	compress(t, files[0])
	files[0] += ".gz"
	intact(t, 9, files...)

	rep, err := Verify(files[0], files[2])
	if err != nil || !slices.Equal(what(rep.Problems), []string{files[2] + ":1: record 7: records 4 to 6 before it removed"}) {
		t.Errorf("one file missing: %q %v", what(rep.Problems), err)
	}
	tear(t, files[1], `{"time":"20`)
	rep, err = Verify(files...)
	if err != nil || len(rep.Problems) == 0 || !strings.HasSuffix(rep.Problems[0].String(), "audit.jsonl.2:4: the file ends within this line") {
		t.Errorf("torn in the middle: %q %v", what(rep.Problems), err)
	}
	if _, err := Verify(filepath.Join(dir, "none")); err == nil || !strings.Contains(err.Error(), filepath.Join(dir, "none")) {
		t.Errorf("a missing file: %v", err)
	}
	if err := os.WriteFile(files[0], []byte("no gzip"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Verify(files...); err == nil || !strings.Contains(err.Error(), files[0]) {
		t.Errorf("a damaged .gz: %v", err)
	}
}

func TestVerifyNoLog(t *testing.T) {
	rep, err := VerifyReader("x", strings.NewReader(strings.Repeat("no log\n", 1000)))
	if err != nil || len(rep.Problems) != maxFindings || rep.Records != 0 {
		t.Errorf("%d problems, %v", len(rep.Problems), err)
	}
	rep, err = VerifyReader("x", strings.NewReader(strings.Repeat("long", maxLine)+"\n"))
	if err != nil || len(rep.Problems) != 1 {
		t.Errorf("a line of 4 MiB: %d problems, %v", len(rep.Problems), err)
	}
	if rep, err = VerifyReader("x", strings.NewReader("")); err != nil || rep.Head != (Head{}) || len(rep.Notes) > 0 {
		t.Errorf("an empty log: %+v %v", rep, err)
	}
}

// FuzzVerify changes one byte of a log, or puts any bytes in its place; nothing
// but the last line may change without a finding.
func FuzzVerify(f *testing.F) {
	lines := chain(f, 6)
	good := bytes.Join(lines, nil)
	f.Add(good, -1, byte(0))
	for _, at := range []int{0, 8, 40, 300, len(lines[0]) - 2, len(lines[0]) - 1, len(lines[0]), len(good) - len(lines[5]) - 1, len(good) - 1} {
		f.Add([]byte(nil), at, byte('x'))
	}
	f.Add([]byte("{\"time\":\"\n\n\n\x00"), -1, byte(0))
	f.Add(bytes.Join(lines[2:], nil), -1, byte(0))
	f.Fuzz(func(t *testing.T, log []byte, at int, with byte) {
		changed := at >= 0 && len(log) == 0
		if changed {
			at %= len(good)
			log = bytes.Clone(good)
			log[at] = with
		}
		rep, err := VerifyReader("log", bytes.NewReader(log))
		if err != nil {
			t.Fatal(err)
		}
		last := len(good) - len(lines[5])
		if changed && at < last && good[at] != with && len(rep.Problems) == 0 {
			t.Fatalf("byte %d changed to %q, unnoticed: %+v", at, with, rep)
		}
		if bytes.Equal(log, good) && (rep.Records != 6 || len(rep.Problems)+len(rep.Notes) > 0) {
			t.Fatalf("the untouched log is doubted: %+v", rep)
		}
	})
}

func BenchmarkVerify(b *testing.B) {
	text := bytes.Join(chain(b, 2000), nil)
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		if rep, err := VerifyReader("log", bytes.NewReader(text)); err != nil || rep.Records != 2000 {
			b.Fatal(rep, err)
		}
	}
}

// Who knows where the chain ended finds that its last line is another or gone.
func TestVerifyTo(t *testing.T) {
	lines := chain(t, 4)
	file := filepath.Join(t.TempDir(), "log")
	head := verify(t, lines).Head
	changed := bytes.Replace(lines[3], []byte(`"uid":`), []byte(`"uid":9`), 1)
	for _, c := range []struct {
		name  string
		lines [][]byte
		known Head
		want  []string
	}{
		{"as written", lines, head, nil},
		{"written on since", lines, verify(t, lines[:2]).Head, nil},
		{"nothing known", lines, Head{}, nil},
		{"last changed", [][]byte{lines[0], lines[1], lines[2], changed}, head, []string{"log:4: record 4: was changed: whoever wrote it has another hash for it"}},
		{"last removed", lines[:3], head, []string{"log:3: record 3: record 4 after it removed"}},
		{"all removed", nil, head, []string{"log:0: records 1 to 4 after it removed"}},
	} {
		if err := os.WriteFile(file, bytes.Join(c.lines, nil), 0o600); err != nil {
			t.Fatal(err)
		}
		rep, err := VerifyTo(c.known, file)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, f := range rep.Problems {
			f.File = filepath.Base(f.File)
			got = append(got, f.String())
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: got %q, want %q", c.name, got, c.want)
		}
	}
}
