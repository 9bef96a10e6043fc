package kernel

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// programs read secrets as people's scripts do. "$f" is the secret, "$out" a
// file that is compared with it.
var programs = map[string]check{
	"cat":              prints(`cat "$f"`),
	"cat of stdin":     prints(`cat <"$f"`),
	"head":             prints(`head -c 100000000 "$f"`),
	"tail":             prints(`tail -c +1 "$f"`),
	"dd":               prints(`dd if="$f" bs=1000 status=none`),
	"dd direct":        prints(`dd if="$f" bs=4096 iflag=direct status=none`),
	"cp":               copies(`cp "$f" "$out"`),
	"cp --sparse":      copies(`cp --sparse=always "$f" "$out"`),
	"cp --reflink":     copies(`cp --reflink=auto "$f" "$out"`),
	"install":          copies(`install -m 600 "$f" "$out"`),
	"bash redirection": texts(`IFS= read -r -d '' v <"$f"; printf %s "$v"`, same),
	"bash $(<f)":       texts(`printf %s "$(<"$f")"`, trimmed),
	"bash mapfile":     texts(`mapfile v <"$f"; printf %s "${v[@]}"`, same),
	"sed":              texts(`sed -n p "$f"`, same),
	"grep":             texts(`grep -c needle "$f" || :`, func(b []byte) string { return count(b, "needle") }),
	"grep -r":          texts(`grep -rl needle "$(dirname "$f")" | grep -c "^$f\$" || :`, func(b []byte) string { return count(b, "needle") }),
	"wc -c":            all(`wc -c "$f" | cut -d ' ' -f 1`, func(b []byte) string { return itoa(len(b)) + "\n" }),
	"wc -c of stdin":   all(`wc -c <"$f"`, func(b []byte) string { return itoa(len(b)) + "\n" }),
	"tail -c":          all(`tail -c 5 "$f"`, func(b []byte) string { return string(b[max(0, len(b)-5):]) }),
	"tail -n": texts(`tail -n 1 "$f"`, func(b []byte) string {
		return string(b[bytes.LastIndexByte(bytes.TrimSuffix(b, []byte("\n")), '\n')+1:])
	}),
	"cmp":         all(`cmp "$f" "$f" && echo same`, func([]byte) string { return "same\n" }),
	"sha256sum":   all(`sha256sum <"$f" >"$out" && cat "$f" | sha256sum | cmp - "$out" && echo same`, func([]byte) string { return "same\n" }),
	"openssl":     openssl,
	"ssh-keygen":  sshKeygen,
	"python":      python,
	"tar":         archive,
	"execve":      executes,
	"os.ReadFile": readsFile,
}

func same(b []byte) string    { return string(b) }
func trimmed(b []byte) string { return strings.TrimRight(string(b), "\n") }

func count(b []byte, word string) string { return itoa(bytes.Count(b, []byte(word))) + "\n" }

var textual = []string{"text", "lines", "empty", "ssh-key", "a/deep/er/secret", "list/1"}

func prints(script string) check { return all(script, same) }

// all runs a script on every secret, and compares what it prints.
func all(script string, want func([]byte) string) check {
	return func(t *testing.T, s *site) {
		for path := range s.values {
			s.runs(t, script, path, want)
		}
	}
}

// texts is all without the binary secrets.
func texts(script string, want func([]byte) string) check {
	return func(t *testing.T, s *site) {
		for _, path := range textual {
			s.runs(t, script, path, want)
		}
	}
}

func (s *site) runs(t *testing.T, script, path string, want func([]byte) string) {
	t.Helper()
	got := s.shell(t, script, path, filepath.Join(t.TempDir(), "out"))
	if w := want(s.values[path]); got != w {
		t.Errorf("%s of %s: got %d bytes %.60q, want %d bytes %.60q", script, path, len(got), got, len(w), w)
	}
}

func copies(script string) check {
	return func(t *testing.T, s *site) {
		for path := range s.values {
			out := filepath.Join(t.TempDir(), "out")
			s.shell(t, script, path, out)
			got, err := os.ReadFile(out)
			if err != nil {
				t.Fatal(err)
			}
			s.is(t, path, got)
		}
	}
}

func (s *site) shell(t *testing.T, script, path, out string) string {
	t.Helper()
	cmd := exec.Command("bash", "-c", script)
	cmd.Env = append(os.Environ(), "f="+s.Path(path), "out="+out, "LC_ALL=C")
	var problems bytes.Buffer
	cmd.Stderr = &problems
	got, err := cmd.Output()
	if err != nil || problems.Len() > 0 {
		t.Errorf("%s of %s: %v: %s", script, path, err, problems.String())
	}
	return string(got)
}

// need skips, and says so, where a program is not installed.
func need(t *testing.T, program string) {
	t.Helper()
	if _, err := exec.LookPath(program); err != nil {
		t.Skipf("SKIPPED: %s is not installed", program)
	}
}

func openssl(t *testing.T, s *site) {
	need(t, "openssl")
	s.runs(t, `openssl pkey -in "$f"`, "private.pem", same)
}

func sshKeygen(t *testing.T, s *site) {
	need(t, "ssh-keygen")
	got := s.shell(t, `ssh-keygen -y -f "$f"`, "ssh-key", "")
	copied := filepath.Join(t.TempDir(), "key")
	put(t, copied, string(s.values["ssh-key"]))
	want, err := exec.Command("ssh-keygen", "-y", "-f", copied).Output()
	if err != nil || got != string(want) || got == "" {
		t.Errorf("got %q, want %q (%v)", got, want, err)
	}
}

func python(t *testing.T, s *site) {
	need(t, "python3")
	const script = `import mmap, os, sys
for path in sys.stdin.read().splitlines():
    with open(path, "rb") as f: whole = f.read()
    with open(path, "rb", buffering=0) as f: assert f.readall() == whole
    with open(path, "rb") as f:
        f.seek(0, 2); assert f.tell() == len(whole), "seek to the end"
        if whole:
            m = mmap.mmap(f.fileno(), 0, access=mmap.ACCESS_READ); assert m[:] == whole, "mmap"
    assert os.path.getsize(path) == len(whole), "size"
    sys.stdout.buffer.write(whole)
`
	cmd := exec.Command("python3", "-c", script)
	var want bytes.Buffer
	var paths strings.Builder
	for path, value := range s.values {
		want.Write(value)
		paths.WriteString(s.Path(path) + "\n")
	}
	cmd.Stdin = strings.NewReader(paths.String())
	got, err := cmd.Output()
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		t.Fatalf("%v: %s", err, exit.Stderr)
	}
	if err != nil || !bytes.Equal(got, want.Bytes()) {
		t.Errorf("got %d bytes, want %d (%v)", len(got), want.Len(), err)
	}
}

// archive has tar pack the whole mount, and looks into the archive.
func archive(t *testing.T, s *site) {
	cmd := exec.Command("tar", "-C", s.Dir, "-cf", "-", ".")
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for r := tar.NewReader(bytes.NewReader(out)); ; {
		h, err := r.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		if path := strings.TrimPrefix(h.Name, "./"); h.Typeflag == tar.TypeReg {
			found++
			s.is(t, path, content)
		}
	}
	if found != len(s.values) {
		t.Errorf("the archive has %d files, want %d", found, len(s.values))
	}
}

// executes runs a secret that is a script of mode 0500, and one that is not.
func executes(t *testing.T, s *site) {
	out, err := exec.Command(s.Path("script"), "well").Output()
	if err != nil || string(out) != "ran well\n" {
		t.Errorf("got %q, %v", out, err)
	}
	if err := exec.Command(s.Path("text")).Run(); !errors.Is(err, os.ErrPermission) {
		t.Errorf("running a secret without an x bit: got %v, want EACCES", err)
	}
}

func readsFile(t *testing.T, s *site) {
	for path := range s.values {
		s.is(t, path, []byte(s.Read(path)))
	}
}
