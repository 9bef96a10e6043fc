package audit

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

func sample() Record {
	return Record{
		Time: time.Date(2026, 3, 4, 5, 6, 7, 89, time.UTC), Seq: 42, Outcome: Refused, Path: "mem0/token", Backend: "main",
		Version: "3f2a", PID: 1234, TID: 1235, UID: 990, GID: 991, Exe: "/usr/bin/cat", Unit: "mem0.service", Rule: "mode 0400",
		Errno: "EACCES", Elapsed: 1234567 * time.Nanosecond, Resent: true, Prev: strings.Repeat("ab", 32),
	}
}

func TestLineIsTheContract(t *testing.T) {
	r := sample()
	const want = `{"time":"2026-03-04T05:06:07.000000089Z","seq":42,"outcome":"refused","path":"mem0/token","backend":"main",` +
		`"version":"3f2a","pid":1234,"tid":1235,"uid":990,"gid":991,"exe":"/usr/bin/cat","unit":"mem0.service","rule":"mode 0400",` +
		`"errno":"EACCES","ms":1.234,"resent":true,"prev":"abababababababababababababababababababababababababababababababab"}`
	if got := string(appendLine(nil, &r)); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	back, err := ParseLine([]byte(want))
	r.Elapsed = r.Elapsed.Truncate(time.Microsecond)
	if err != nil || back != r {
		t.Errorf("got %+v, %v\nwant %+v", back, err, r)
	}
}

func TestEscaping(t *testing.T) {
	for in, want := range map[string]string{
		"a\"b\\c":         `a\"b\\c`,
		"line\nfeed\x1b[": `line\u000afeed\u001b[`,
		"\x7f\u009b":      `\u007f\u009b`,
		"größe/日本/🔑":      `größe/日本/🔑`,
		"bad\xff\xc3":     `bad\ufffd\ufffd`,
		"\xed\xa0\x80":    `\ufffd\ufffd\ufffd`, // a surrogate in UTF-8
	} {
		if got := string(appendString(nil, "", in)); got != `"`+want+`"` {
			t.Errorf("%q: got %s want %s", in, got, want)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	good := string(appendLine(nil, new(sample())))
	for name, line := range map[string]string{
		"empty":      "",
		"no object":  "[]",
		"torn":       good[:len(good)-5],
		"two":        good + good,
		"no seq":     strings.Replace(good, `"seq":42,`, "", 1),
		"twice":      strings.Replace(good, `"seq":42`, `"seq":42,"seq":43`, 1),
		"wrong type": strings.Replace(good, `"uid":990`, `"uid":"990"`, 1),
		"no time":    strings.Replace(good, "2026-03", "2026-33", 1),
		"ms":         strings.Replace(good, "1.234", "1e300", 1),
	} {
		if r, err := ParseLine([]byte(line)); err == nil {
			t.Errorf("%s: read as %+v", name, r)
		}
	}
	if _, err := ParseLine([]byte(strings.Replace(good, `{`, `{"later":[1],`, 1))); err != nil {
		t.Errorf("a field of a later version: %v", err)
	}
}

// FuzzLine writes any record and reads it back, with our parser and with
// another.
func FuzzLine(f *testing.F) {
	for _, s := range []string{"mem0/token", "", "a\"b\\c\n\x00\x7f", "\xff\xfe", "\xed\xa0\x80", "日本\u2028"} {
		f.Add(s, "/usr/bin/"+s, uint32(1000), int64(1234567), uint64(7))
	}
	f.Fuzz(func(t *testing.T, path, exe string, uid uint32, elapsed int64, seq uint64) {
		r := sample()
		r.Path, r.Exe, r.UID, r.Elapsed, r.Seq = path, exe, uid, time.Duration(elapsed), max(seq, 1)
		line := appendLine(nil, &r)
		if !json.Valid(line) || !utf8.Valid(line) || strings.ContainsAny(string(line), "\n\r\x7f\x1b") {
			t.Fatalf("not a clean line: %q", line)
		}
		got, err := ParseLine(line)
		if err != nil {
			t.Fatal(err)
		}
		r.Path, r.Exe = strings.Map(valid, path), strings.Map(valid, exe)
		// float64 has whole microseconds up to 2^53 of them.
		r.Elapsed = max(r.Elapsed, 0).Truncate(time.Microsecond)
		if elapsed < 1<<52 && got != r {
			t.Fatalf("got %+v\nwant %+v", got, r)
		}
	})
}

// valid has strings.Map replace each byte that is not UTF-8 by U+FFFD.
func valid(r rune) rune { return r }

func BenchmarkLine(b *testing.B) {
	r := sample()
	var buf []byte
	b.ReportAllocs()
	for b.Loop() {
		buf = appendLine(buf[:0], &r)
	}
}

func BenchmarkParseLine(b *testing.B) {
	r := sample()
	line := appendLine(nil, &r)
	for b.Loop() {
		if _, err := ParseLine(line); err != nil {
			b.Fatal(err)
		}
	}
}
