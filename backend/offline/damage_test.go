package offline_test

import (
	"bytes"
	"errors"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"filippo.io/age"

	"github.com/secretfs/secretfs/backend"
	"github.com/secretfs/secretfs/backend/secret"
)

// kept makes a machine with copies of a and apps/b, and gives their files.
func kept(t *testing.T) (m *machine, a, b string) {
	m = newMachine(t)
	files := map[string]string{}
	for _, key := range []string{"a", "apps/b"} {
		v, err := secret.From([]byte(m.values[key]))
		if err != nil {
			t.Fatal(err)
		}
		defer v.Destroy()
		if err := m.copies().Save(backend.Copy{Key: key, Version: "v1", Fetched: time.Now(), Value: v}); err != nil {
			t.Fatal(err)
		}
		for _, file := range m.files() {
			if files["a"] != file {
				files[key] = file
			}
		}
	}
	return m, files["a"], files["apps/b"]
}

// unserved wants the error of the server and a word in the log.
func unserved(t *testing.T, m *machine, key, said string) {
	t.Helper()
	r, f := m.boot(t, "second")
	f.Down(errDown)
	if s, err := r.Get(t.Context(), key); err == nil {
		t.Errorf("served %q", s.Value.Bytes())
		s.Value.Destroy()
	} else if !errors.Is(err, errDown) {
		t.Error(err)
	}
	if log := m.log.String(); !strings.Contains(log, "ignoring an offline copy") || !strings.Contains(log, said) {
		t.Errorf("the log does not say %q: %s", said, log)
	}
	m.noPlaintext()
}

func TestDamagedCopy(t *testing.T) {
	for name, damage := range map[string]func([]byte) []byte{
		"header": func(b []byte) []byte { b[30] ^= 1; return b },
		"body":   func(b []byte) []byte { b[len(b)-1] ^= 1; return b },
		"cut":    func(b []byte) []byte { return b[:len(b)-20] },
		"empty":  func([]byte) []byte { return nil },
		"text":   func([]byte) []byte { return []byte("canary") },
	} {
		t.Run(name, func(t *testing.T) {
			m, a, _ := kept(t)
			file, err := os.ReadFile(a)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(a, damage(bytes.Clone(file)), 0o600); err != nil {
				t.Fatal(err)
			}
			unserved(t, m, "a", `reading the copy of \"a\"`)
			r, f := m.boot(t, "third")
			f.Down(errDown)
			if text, _ := m.read(t, r, "apps/b"); text != "canary-value-of-b" {
				t.Errorf("another copy: %q", text)
			}
		})
	}
}

// A copy under the name of another is not served, whoever has put it there.
func TestMixedUpCopies(t *testing.T) {
	t.Run("of another key", func(t *testing.T) {
		m, a, b := kept(t)
		if err := os.Rename(b, a); err != nil {
			t.Fatal(err)
		}
		unserved(t, m, "a", `it is that of \"apps/b\"`)
	})
	t.Run("of another backend", func(t *testing.T) {
		m, _, _ := kept(t)
		m.backend = "other"
		unserved(t, m, "a", `in backend \"far\"`)
	})
	t.Run("of another server", func(t *testing.T) {
		m, _, _ := kept(t)
		m.source = "server two"
		unserved(t, m, "a", "the settings of the backend were others")
	})
	t.Run("for another key pair", func(t *testing.T) {
		m, _, _ := kept(t)
		var err error
		if m.id, err = age.GenerateX25519Identity(); err != nil {
			t.Fatal(err)
		}
		unserved(t, m, "a", "did not match any of the recipients")
	})
	t.Run("not one of ours", func(t *testing.T) {
		m, a, _ := kept(t)
		var file bytes.Buffer
		w, err := age.Encrypt(&file, m.id.Recipient())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, "{}\nforged-value"); err != nil || w.Close() != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(a, file.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
		unserved(t, m, "a", `it is that of \"\"`)
	})
}

// A folder that others may write to is not ours.
func TestFolderOpenToOthers(t *testing.T) {
	m, _, _ := kept(t)
	if err := os.Chmod(m.state+"/far%~offline", 0o777); err != nil {
		t.Fatal(err)
	}
	unserved(t, m, "a", "and 0700")
}
