package backend_test

import (
	"strings"
	"testing"

	"github.com/secretfs/secretfs/backend"
)

func TestFileName(t *testing.T) {
	for _, c := range []struct{ name, tag, want string }{
		{"db password", "", "db password"},
		{"größe", "", "größe"},
		{".hidden", "", ".hidden"},
		{"a/b", "", "a%2Fb"},
		{"100%", "", "100%25"},
		{"a%2Fb", "", "a%252Fb"},
		{"line\nbreak\x00\x7f", "", "line%0Abreak%00%7F"},
		{"", "", "%"},
		{".", "", "%2E"},
		{"..", "", "%2E%2E"},
		{"...", "", "..."},
		{"GitHub", "7f1c", "GitHub%~7f1c"},
		{"", "x/y", "%%~x%2Fy"},
		{"~", "", "~"},
	} {
		got := backend.FileName(c.name, c.tag)
		if got != c.want {
			t.Errorf("%q, tag %q: %q, want %q", c.name, c.tag, got, c.want)
		}
		if name, tag, ok := backend.RealName(got); !ok || name != c.name || tag != c.tag {
			t.Errorf("%q reads back as %q, tag %q, %v", got, name, tag, ok)
		}
	}
	for _, file := range []string{"a%", "a%2", "a%2f", "a%41", ".", "..", "a/b", "a%~", "%~", "a%~b%~c", "%~x"} {
		if name, tag, ok := backend.RealName(file); ok {
			t.Errorf("%q is taken for the name of %q, tag %q", file, name, tag)
		}
	}
}

func TestFileNameIsCut(t *testing.T) {
	for _, name := range []string{strings.Repeat("x", 256), strings.Repeat("ü", 128), strings.Repeat("/", 86), strings.Repeat("a", 240) + "\x01\x02\x03\x04\x05"} {
		got := backend.FileName(name, "5d41402abc4b2a76")
		if len(got) > 255 || len(got) < 250 || !strings.HasSuffix(got, "%~5d41402abc4b2a76") {
			t.Errorf("%q is spelt %q, %d bytes", name, got, len(got))
		}
		start, _, ok := backend.RealName(got)
		if !ok || !strings.HasPrefix(name, start) {
			t.Errorf("%q is cut within a character: %q", name, got)
		}
	}
}

// FuzzFileName: no two names share a file, and every file can be made.
func FuzzFileName(f *testing.F) {
	f.Add("a/b", "c")
	f.Add("%~", "%")
	f.Fuzz(func(t *testing.T, name, tag string) {
		file := backend.FileName(name, tag)
		if len(tag) > 100 {
			return
		}
		if file == "" || file == "." || file == ".." || len(file) > 255 || strings.ContainsAny(file, "/\x00") {
			t.Fatalf("%q, tag %q: no file can be called %q", name, tag, file)
		}
		if len(name)*3+len(tag)*3+2 > 255 {
			return
		}
		if n, g, ok := backend.RealName(file); !ok || n != name || g != tag {
			t.Fatalf("%q, tag %q: %q reads back as %q, tag %q, %v", name, tag, file, n, g, ok)
		}
	})
}
