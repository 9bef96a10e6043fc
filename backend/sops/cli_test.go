package sops

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// programDir holds the real sops, if a test needed it.
var programDir string

// program is the real sops, built once.
var program = sync.OnceValues(func() (name string, err error) {
	if programDir, err = os.MkdirTemp("", "sops"); err != nil {
		return "", err
	}
	name = filepath.Join(programDir, "sops")
	out, err := exec.Command("go", "build", "-o", name, "github.com/getsops/sops/v3/cmd/sops").CombinedOutput()
	if err != nil {
		os.Stderr.Write(out)
	}
	return name, err
})

// sopsCLI runs the real program with the identity of the tests.
func sopsCLI(t *testing.T, args ...string) []byte {
	t.Helper()
	name, err := program()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(name, append([]string{"--disable-version-check"}, args...)...)
	cmd.Env = append(os.Environ(), "SOPS_AGE_KEY="+ring().identity.String(), "HOME="+t.TempDir())
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("sops %s: %v\n%s", strings.Join(args, " "), err, &stderr)
	}
	return out
}

var cliSamples = map[string]string{
	"s.yaml": yamlSample,
	"s.json": `{"a": {"b": ["x", 1, true, null, 1.5]}, "s": "é\n<&>", "big": 9007199254740993, "empty": {}, "none": []}`,
	"s.env":  "# comment\nA=one\nB=two\\nlines\nEMPTY=\nC_unencrypted=clear\n",
	"s.ini":  "top = 0\n\n; of one\n[one]\na = b\nc = `x;y`\n\n[two]\nlong name = v\n",
	"s.bin":  "line\n\tand \"quotes\" \u00e9\n",
}

// TestRealProgram compares whole files and values with the program itself: what
// it encrypts, with its own data keys, and what it then decrypts.
func TestRealProgram(t *testing.T) {
	for name, plain := range cliSamples {
		for _, args := range [][]string{nil, {"--encrypted-regex", "^(a|A|one|first|deep|data)$"}} {
			file := filepath.Join(t.TempDir(), name)
			write(t, file, []byte(plain))
			sopsCLI(t, append(append([]string{"encrypt", "--in-place", "--age", ring().identity.Recipient().String()}, args...), file)...)
			f := newFixture(t, nil, func(c *Config) { c.File, c.Format = file, FormatOf(file) })
			got, err := f.get("")
			if want := string(sopsCLI(t, "decrypt", file)); got != want || err != nil {
				t.Errorf("%s %v: the file is\n%s\n%v, want\n%s", name, args, got, err, want)
			}
			if args == nil {
				extract(t, f, name, file)
			}
			f.Close()
		}
	}
}

func extract(t *testing.T, f *fixture, name, file string) {
	for key, path := range map[string]map[string]string{
		"s.yaml": {"deep/token": `["deep"]["token"]`, "n": `["n"]`, "deep": `["deep"]`, "umlaut": `["umlaut"]`, "pi": `["pi"]`, "yes": `["yes"]`, "when": `["when"]`, "nothing": `["nothing"]`},
		"s.json": {"a/b/0": `["a"]["b"][0]`, "a/b/1": `["a"]["b"][1]`, "a/b/2": `["a"]["b"][2]`, "a": `["a"]`, "a/b": `["a"]["b"]`, "s": `["s"]`, "big": `["big"]`},
		"s.env":  {"A": `["A"]`, "B": `["B"]`, "C_unencrypted": `["C_unencrypted"]`},
		"s.ini":  {"one/a": `["one"]["a"]`, "one/c": `["one"]["c"]`, "DEFAULT/top": `["DEFAULT"]["top"]`, "two/long name": `["two"]["long name"]`},
	}[name] {
		got, err := f.get(key)
		want := string(sopsCLI(t, "decrypt", "--extract", path, file))
		if info, _ := f.Stat(t.Context(), key); !info.Dir {
			want = trimScalar(want, got)
		}
		if got != want || err != nil {
			t.Errorf("%s: %q is %q, %v; the program says %q", name, key, got, err, want)
		}
	}
}

// trimScalar removes the line feed that the program adds to scalars of YAML that
// are no strings.
func trimScalar(want, got string) string {
	if want == got+"\n" {
		return got
	}
	return want
}
