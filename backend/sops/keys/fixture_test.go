package keys_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/secretfs/secretfs/backend/helper"
	"github.com/secretfs/secretfs/backend/sops/keys"
	"github.com/secretfs/secretfs/backend/sops/keys/keystest"
)

// write makes a file of that text in a directory of its own.
func write(t testing.TB, text string) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func run(t testing.TB, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command(name, args...).Output()
	if err != nil {
		t.Fatalf("%s %q: %v", name, args, err)
	}
	return string(out)
}

// ageKey is an identity of age-keygen with its comments, and the recipient.
func ageKey(t testing.TB, args ...string) (text, recipient string) {
	t.Helper()
	text = run(t, keystest.Tool(t, "age-keygen"), args...)
	m := regexp.MustCompile(`# public key: (\S+)`).FindStringSubmatch(text)
	if m == nil {
		t.Fatal("age-keygen names no public key")
	}
	return text, m[1]
}

// sshKey is the file of a new ssh key, and its public line.
func sshKey(t testing.TB, args ...string) (path, public string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "id")
	run(t, "ssh-keygen", append([]string{"-q", "-N", "", "-C", "root@host", "-f", path}, args...)...)
	line, err := os.ReadFile(path + ".pub")
	if err != nil {
		t.Fatal(err)
	}
	return path, strings.TrimSpace(string(line))
}

func newRing(t testing.TB, cfg keys.Config, start helper.Starter) *keys.Ring {
	r := keys.New(cfg, start)
	t.Cleanup(func() { r.Close() })
	return r
}

func testContext(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// opens fails the test unless ring recovers doc's data key.
func opens(t testing.TB, ring *keys.Ring, doc *keystest.Doc) {
	t.Helper()
	key, err := ring.DataKey(testContext(t), doc.Meta)
	if err != nil {
		t.Fatalf("DataKey: %v", err)
	}
	defer key.Destroy()
	doc.Opens(t, key)
}

// refuses fails the test unless ring fails with that kind and a sentence that
// has every one of words in it.
func refuses(t testing.TB, ring *keys.Ring, m keys.Metadata, kind error, words ...string) {
	t.Helper()
	key, err := ring.DataKey(testContext(t), m)
	if err == nil {
		key.Destroy()
		t.Fatal("DataKey gave a key, expected an error")
	}
	if !errors.Is(err, kind) {
		t.Errorf("got the error %q, expected one of kind %q", err, kind)
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("got the error %q, expected %q in it", err, w)
		}
	}
}
