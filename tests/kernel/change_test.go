package kernel

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/secretfs/secretfs/tests/harness"
)

// changes are the ways in which editors, git and Nix bring a new version of a
// sops file. Each puts text there.
var changes = map[string]func(t *testing.T, m *harness.Mount, text string){
	"rewritten in place": func(t *testing.T, m *harness.Mount, text string) { put(t, m.Secrets, text) },
	"renamed over": func(t *testing.T, m *harness.Mount, text string) {
		put(t, m.Root+"/new", text)
		rename(t, m.Root+"/new", m.Secrets)
	},
	"removed and made": func(t *testing.T, m *harness.Mount, text string) {
		if err := os.Remove(m.Secrets); err != nil {
			t.Fatal(err)
		}
		put(t, m.Secrets, text)
	},
	"written piece by piece": func(t *testing.T, m *harness.Mount, text string) {
		f, err := os.Create(m.Secrets)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		for part := range slices.Chunk([]byte(text), 200) {
			if _, err := f.Write(part); err != nil {
				t.Fatal(err)
			}
		}
	},
	"link to file switched": func(t *testing.T, m *harness.Mount, text string) {
		put(t, generation(t, m)+"/file", text)
		link(t, m.Secrets, newest(t, m)+"/file")
	},
	"link to directory switched": func(t *testing.T, m *harness.Mount, text string) {
		put(t, generation(t, m)+"/"+filepath.Base(m.Secrets), text)
		link(t, m.Root+"/current", newest(t, m))
		link(t, m.Secrets, "current/"+filepath.Base(m.Secrets))
	},
}

func rename(t *testing.T, from, to string) {
	t.Helper()
	if err := os.Rename(from, to); err != nil {
		t.Fatal(err)
	}
}

// link switches a symbolic link as `ln -sfn` with rename does.
func link(t *testing.T, at, to string) {
	t.Helper()
	if err := os.Symlink(to, at+".new"); err != nil {
		t.Fatal(err)
	}
	rename(t, at+".new", at)
}

// generation makes a directory like one of the Nix store.
func generation(t *testing.T, m *harness.Mount) string {
	t.Helper()
	dir, err := os.MkdirTemp(m.Root, "generation-")
	if err != nil {
		t.Fatal(err)
	}
	link(t, m.Root+"/newest", dir)
	return dir
}

func newest(t *testing.T, m *harness.Mount) string {
	t.Helper()
	dir, err := os.Readlink(m.Root + "/newest")
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// TestChange: every way of bringing a new version is noticed, one after the
// other and each twice, and also after a kill in between.
func TestChange(t *testing.T) {
	harness.Matrix(t, func(t *testing.T) {
		m := harness.New(t, harness.Options{Plain: "a: version 0\n"})
		if got := m.Read("a"); got != "version 0" {
			t.Fatalf("got %q", got)
		}
		version := 0
		for name, change := range changes {
			for round := range 2 {
				version++
				want := "version " + itoa(version)
				change(t, m, m.Encrypted("a: "+want+"\n"))
				if round == 1 {
					m.KillWorker()
				}
				harness.Eventually(t, name+" is noticed", func() bool { return m.Read("a") == want })
			}
		}
	})
}

// TestBrokenChange: a broken file keeps the last good version, says so, and is
// over when it is mended.
func TestBrokenChange(t *testing.T) {
	harness.Matrix(t, func(t *testing.T) {
		m := harness.New(t, harness.Options{Plain: "a: good\n", Policy: "secrets:\n  a: {backend: main}\n"})
		version, err := attribute(m.Path("a"), "version")
		if m.Read("a") != "good" || err != nil {
			t.Fatal(err)
		}
		good, err := os.ReadFile(m.Secrets)
		if err != nil {
			t.Fatal(err)
		}
		for name, broken := range map[string]string{
			"it has no sops section; is it encrypted?: damaged or forged":                   "a: plain\n",
			"the file is empty: damaged or forged":                                          "",
			"a value does not decrypt: it was changed, moved or damaged: damaged or forged": strings.Replace(string(good), "data:", "data:AAAA", 1),
		} {
			put(t, m.Secrets, broken)
			want := "reading " + m.Secrets + ": " + name
			harness.Eventually(t, "the attribute says "+want, func() bool {
				m.Read("a")
				got, _ := attribute(m.Path("a"), "error")
				return strings.Contains(got, want)
			})
			stays(t, m, version, want)
			harness.Eventually(t, "the log says "+want, func() bool { return strings.Contains(m.Log(), want) })
			m.KillWorker()
			stays(t, m, version, want)
		}
		m.Rotate("a: mended\n", "a", "mended")
		if got, err := attribute(m.Path("a"), "error"); err != unix.ENODATA {
			t.Errorf("mended, the attribute says %q, %v", got, err)
		}
		if s := m.Status().Secrets[0]; s.State != "ready" || s.Error != "" {
			t.Errorf("mended, status says %+v", s)
		}
		harness.Eventually(t, "the log says that it works again", func() bool { return strings.Contains(m.Log(), "works again") })
	})
}

// TestMaxStale: the last good version is not served for longer than max_stale,
// however often it is asked for.
func TestMaxStale(t *testing.T) {
	harness.Matrix(t, func(t *testing.T) {
		m := harness.New(t, harness.Options{Plain: "a: good\n", Head: "backends:\n  main: {type: sops, file: secrets.yaml, identities: [keys.txt], max_stale: 1ms}\n"})
		f, err := os.Open(m.Path("a"))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		put(t, m.Secrets, "a: plain\n")
		harness.Eventually(t, "reads are refused", func() bool {
			_, err := os.ReadFile(m.Path("a"))
			return errors.Is(err, unix.EBADMSG)
		})
		stillOpen(t, f, "good")
		if got := names(t, m.Dir); !slices.Equal(got, []string{"a"}) {
			t.Errorf("the mount lists %q", got)
		}
		m.Rotate("a: mended\n", "a", "mended")
	})
}

// TestAnotherFile: a policy that gives a backend's name to another file does not
// bring the values of the first one with it.
func TestAnotherFile(t *testing.T) {
	harness.Matrix(t, func(t *testing.T) {
		m := harness.New(t, harness.Options{Plain: "a: good\n"})
		if got := m.Read("a"); got != "good" {
			t.Fatalf("got %q", got)
		}
		m.WritePolicy(harness.Options{Head: "backends:\n  main: {type: sops, file: other.yaml, identities: [keys.txt]}\n"})
		m.Must("reload")
		harness.Eventually(t, "the other file is missed", func() bool {
			_, err := os.ReadFile(m.Path("a"))
			return errors.Is(err, unix.EHOSTUNREACH)
		})
		if s := m.Status().Backends[0]; s.State != "failed" || !strings.Contains(s.Error, "other.yaml: there is no such file") {
			t.Errorf("status says %+v", s)
		}
	})
}

func stays(t *testing.T, m *harness.Mount, version, sentence string) {
	t.Helper()
	if got := m.Read("a"); got != "good" {
		t.Errorf("got %q", got)
	}
	if got, err := attribute(m.Path("a"), "version"); got != version || err != nil {
		t.Errorf("got version %q, %v, want %q", got, err, version)
	}
	if s := m.Status().Secrets[0]; s.State != "stale" || !strings.Contains(s.Error, sentence) {
		t.Errorf("status: got %s: %q, want stale: %q", s.State, s.Error, sentence)
	}
}

// TestKeys: a dynamic directory follows the keys of its file, and what is open
// stays when its key goes.
func TestKeys(t *testing.T) {
	harness.Matrix(t, func(t *testing.T) {
		m := harness.New(t, harness.Options{Plain: toJSON(t, map[string]any{"a": "first", "b": "second", "d": map[string]string{"x": "below"}})})
		lists := func(want ...string) {
			t.Helper()
			harness.Eventually(t, "the mount lists "+strings.Join(want, " "), func() bool {
				_, _ = os.Stat(m.Path("a"))
				return slices.Equal(names(t, m.Dir), want)
			})
		}
		lists("a", "b", "d")
		f, err := os.Open(m.Path("a"))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		var inode unix.Stat_t
		if err := unix.Stat(m.Path("b"), &inode); err != nil {
			t.Fatal(err)
		}

		m.Encrypt(toJSON(t, map[string]any{"b": "second", "c": "new", "d": "a file now"}))
		lists("b", "c", "d")
		gone(t, m, "a")
		gone(t, m, "d/x")
		if got := m.Read("d"); got != "a file now" {
			t.Errorf("a directory that became a file: got %q", got)
		}
		stillOpen(t, f, "first")
		m.KillWorker()
		stillOpen(t, f, "first")
		gone(t, m, "a")

		m.Encrypt(toJSON(t, map[string]any{"a": "again", "b": "second", "d": map[string]string{"y": "deep"}}))
		lists("a", "b", "d")
		if got := m.Read("a") + m.Read("d/y"); got != "againdeep" {
			t.Errorf("got %q", got)
		}
		stillOpen(t, f, "first")
		gone(t, m, "c")
		var again unix.Stat_t
		if err := unix.Stat(m.Path("b"), &again); err != nil || again.Ino != inode.Ino {
			t.Errorf("b: inode %d, before %d (%v)", again.Ino, inode.Ino, err)
		}
	})
}

func names(t *testing.T, dir string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func gone(t *testing.T, m *harness.Mount, path string) {
	t.Helper()
	if _, err := os.Stat(m.Path(path)); !errors.Is(err, unix.ENOENT) && !errors.Is(err, unix.ENOTDIR) {
		t.Errorf("stat of %s: got %v, want ENOENT", path, err)
	}
	if _, err := os.Open(m.Path(path)); !errors.Is(err, unix.ENOENT) && !errors.Is(err, unix.ENOTDIR) {
		t.Errorf("open of %s: got %v, want ENOENT", path, err)
	}
}

func stillOpen(t *testing.T, f *os.File, want string) {
	t.Helper()
	info, err := f.Stat()
	if err != nil || info.Size() != int64(len(want)) {
		t.Errorf("fstat of an open file whose key has gone: %v, %v", info, err)
	}
	got, err := io.ReadAll(io.NewSectionReader(f, 0, 100))
	if err != nil || !bytes.Equal(got, []byte(want)) {
		t.Errorf("an open file whose key has gone: got %q, %v", got, err)
	}
}
