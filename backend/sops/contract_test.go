package sops

import (
	"bytes"
	"os"
	"strings"
	"testing"

	"filippo.io/age"
	"filippo.io/age/armor"
	"golang.org/x/sys/unix"

	"github.com/secretfs/secretfs/backend"
	"github.com/secretfs/secretfs/backend/backendtest"
	"github.com/secretfs/secretfs/backend/sops/keys"
)

func TestContract(t *testing.T) {
	secrets := map[string]string{"token": "Zq8v-R1xW-0pLm", "db/password": "Ht5n-B7cY-9sKd"}
	whole := mustSeal(t, YAML, "token: Zq8v-R1xW-0pLm\ndb: {password: Ht5n-B7cY-9sKd}\n")
	other := mustSeal(t, YAML, "token: Uf3j-G6kE-2wQa\n")
	opened := func(t *testing.T, file []byte, change ...func(*Config)) *Backend {
		return newFixture(t, file, change...).Backend
	}
	backendtest.Run(t, func(t *testing.T) backendtest.Fixture {
		f := newFixture(t, whole)
		return backendtest.Fixture{
			Backend: f.Backend, Secrets: secrets, Missing: "db/none",
			Corrupt: func(t *testing.T) (backend.Backend, string) {
				at, with := cutSealed(whole), cutSealed(other)
				forged := string(whole[:at[0]]) + string(other[with[0]:with[1]]) + string(whole[at[1]:])
				return opened(t, []byte(forged)), "db/password"
			},
			Locked: func(t *testing.T) (backend.Backend, string) {
				return opened(t, whole, func(c *Config) { c.Keys = &ageKeys{file: "/nonexistent"} }), "token"
			},
			Denied: func(t *testing.T) (backend.Backend, string) {
				real := func(c *Config) { c.Keys = keys.New(keys.Config{KeyFiles: c.KeyFiles}, nil) }
				return opened(t, forAnother(t, whole), real), "token"
			},
			Server: func(t *testing.T) backendtest.Server { return goes(t, whole) },
			Slow:   func(t *testing.T) backendtest.Server { return pipes(t, whole) },
			Reopen: func(t *testing.T, slot backend.Slot) backend.Backend {
				return opened(t, nil, func(c *Config) { c.File, c.Save, c.Saved = f.file, slot.Save, slot.Saved })
			},
			Without: []string{"places"},
		}
	})
}

// forAnother has, in the entry of our recipient, a data key for somebody else.
func forAnother(t *testing.T, file []byte) []byte {
	t.Helper()
	id, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	var sealed bytes.Buffer
	text := armor.NewWriter(&sealed)
	w, err := age.Encrypt(text, id.Recipient())
	if err == nil {
		_, err = w.Write(make([]byte, 32))
	}
	if err == nil {
		err = w.Close()
	}
	if err == nil {
		err = text.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	head, rest, _ := strings.Cut(string(file), armor.Header)
	_, tail, ok := strings.Cut(rest, armor.Footer)
	if !ok {
		t.Fatal("the file has no entry for age")
	}
	indent := head[strings.LastIndex(head, "\n"):]
	return []byte(head + strings.ReplaceAll(strings.TrimSpace(sealed.String()), "\n", indent) + tail)
}

// goes is a file that can be taken away. The backend is told of it at once, so that
// nothing depends on when inotify is.
func goes(t *testing.T, file []byte) backendtest.Server {
	f := newFixture(t, file)
	move := func(from, to string) {
		if err := os.Rename(from, to); err != nil {
			t.Fatal(err)
		}
		_ = f.Refresh(t.Context()) // what is wrong, Get says
	}
	return backendtest.Server{
		Backend: f.Backend, Key: "token",
		Cut: func() { move(f.file, f.file+".away") }, Mend: func() { move(f.file+".away", f.file) },
	}
}

// pipes is a file in whose place there can be a FIFO that nobody writes to.
func pipes(t *testing.T, file []byte) backendtest.Server {
	f := newFixture(t, file)
	must := func(err error) {
		if err != nil {
			t.Fatal(err)
		}
	}
	return backendtest.Server{
		Backend: f.Backend, Key: "token",
		Stall: func() {
			must(os.Rename(f.file, f.file+".away"))
			must(unix.Mkfifo(f.file, 0o600))
			must(os.Link(f.file, f.file+".fifo"))
			unstick(t, f.file+".fifo")
		},
		Mend: func() { must(os.Rename(f.file+".away", f.file)) },
	}
}
