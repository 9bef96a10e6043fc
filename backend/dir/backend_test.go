package dir_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/secretfs/secretfs/backend"
	"github.com/secretfs/secretfs/backend/backendtest"
	"github.com/secretfs/secretfs/backend/dir"
)

var plaintexts = map[string]string{
	"token": "canary-token-0001", "db/password": "canary-password-0002", "db/deep/key": "canary-key-0003\n",
}

// open makes a Backend as the program does.
func open(t *testing.T, at string, slot backend.Slot) backend.Backend {
	t.Helper()
	b, err := dir.Open(dir.Settings{Path: at}, backend.Env{State: slot})
	must(t, err)
	t.Cleanup(func() { b.Close() })
	return b
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// put replaces a file at once, with its directories.
func put(t *testing.T, path, content string) {
	t.Helper()
	must(t, os.MkdirAll(filepath.Dir(path), 0o755))
	must(t, os.WriteFile(path+".new", []byte(content), 0o600))
	must(t, os.Rename(path+".new", path))
}

func limited(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func get(t *testing.T, b backend.Backend, key string) (string, backend.Version, error) {
	t.Helper()
	s, err := b.Get(limited(t), key)
	if err != nil {
		return "", "", err
	}
	defer s.Value.Destroy()
	return string(s.Value.Bytes()), s.Version, nil
}

// reads wants key to read as want, its size and version to be true before and after.
func reads(t *testing.T, b backend.Backend, key, want string) backend.Version {
	t.Helper()
	before, err := b.(backend.Indexer).Stat(limited(t), key)
	must(t, err)
	got, version, err := get(t, b, key)
	if got != want || err != nil {
		t.Fatalf("%s: got %q, %v, want %q", key, got, err, want)
	}
	after, err := b.(backend.Indexer).Stat(limited(t), key)
	if expected := (backend.Info{Size: int64(len(want)), Version: version}); err != nil || before != expected || after != expected {
		t.Errorf("%s: %+v before, %+v after, %v, want %+v", key, before, after, err, expected)
	}
	return version
}

func refuses(t *testing.T, b backend.Backend, key string, kind error, sentence string) {
	t.Helper()
	_, _, err := get(t, b, key)
	_, statErr := b.(backend.Indexer).Stat(limited(t), key)
	for _, err := range []error{err, statErr} {
		if !errors.Is(err, kind) || !strings.Contains(err.Error(), sentence) {
			t.Errorf("%q: got %v, want %v: …%s…", key, err, kind, sentence)
		}
	}
}

func TestSuite(t *testing.T) {
	backendtest.Run(t, func(t *testing.T) backendtest.Fixture {
		at := t.TempDir()
		for key, plain := range plaintexts {
			put(t, filepath.Join(at, key), plain)
		}
		return backendtest.Fixture{
			Backend: open(t, at, backend.Slot{}), Secrets: plaintexts, Missing: "nope",
			Server: func(t *testing.T) backendtest.Server {
				at := filepath.Join(t.TempDir(), "credentials")
				put(t, filepath.Join(at, "token"), plaintexts["token"])
				return backendtest.Server{
					Backend: open(t, at, backend.Slot{}), Key: "token",
					Cut:  func() { must(t, os.Rename(at, at+".away")) },
					Mend: func() { must(t, os.Rename(at+".away", at)) },
				}
			},
			Reopen: func(t *testing.T, slot backend.Slot) backend.Backend { return open(t, at, slot) },
			// Files in the clear show no damage and need no key, and root may read
			// all of them. One that does not answer has a filesystem that hangs.
			Without: []string{"corrupt", "locked", "denied", "deadline", "lock", "places"},
		}
	})
}

// TestChanges: another content is another version and is told, the same content in
// another file is neither.
func TestChanges(t *testing.T) {
	at := t.TempDir()
	b := open(t, at, backend.Slot{})
	told := make(chan struct{}, 1000)
	b.(backend.Notifier).Notify(func() { told <- struct{}{} })
	put(t, at+"/a", "first")
	first := reads(t, b, "a", "first")
	put(t, at+"/a", "first")
	if again := reads(t, b, "a", "first"); again != first {
		t.Errorf("a copy is version %s, the first was %s", again, first)
	}
	put(t, at+"/a", "other")
	select {
	case <-told:
	case <-time.After(20 * time.Second):
		t.Fatal("nothing was told")
	}
	if other := reads(t, b, "a", "other"); other == first {
		t.Errorf("both are version %s", first)
	}
	// In place, with the length and all that stat(2) tells but the ctime.
	must(t, os.WriteFile(at+"/a", []byte("third"), 0o600))
	if third := reads(t, b, "a", "third"); third == first {
		t.Errorf("both are version %s", first)
	}
	must(t, os.Remove(at+"/a"))
	refuses(t, b, "a", backend.ErrNotFound, "reading "+at+"/a: there is no such file")
}

// TestNextWorker: another process has the same versions.
func TestNextWorker(t *testing.T) {
	at := t.TempDir()
	put(t, at+"/a", "content")
	saved := make(chan backend.Legacy, 1)
	version := reads(t, open(t, at, backend.Slot{Save: func(l backend.Legacy) { saved <- l }}), "a", "content")
	l := <-saved
	defer l.Keys.Destroy()
	if next := reads(t, open(t, at, backend.Slot{Saved: l}), "a", "content"); next != version {
		t.Errorf("version %s, before %s", next, version)
	}
	if foreign := reads(t, open(t, at, backend.Slot{}), "a", "content"); foreign == version {
		t.Error("the version is made of the content alone")
	}
}

// TestKubernetes has the layout of a mounted Secret: names are links into a
// directory that a link is switched to.
func TestKubernetes(t *testing.T) {
	at := t.TempDir()
	b := open(t, at, backend.Slot{})
	told := make(chan struct{}, 1000)
	b.(backend.Notifier).Notify(func() { told <- struct{}{} })
	edition := func(name, user, password string) {
		put(t, at+"/"+name+"/username", user)
		put(t, at+"/"+name+"/password", password)
		must(t, os.Symlink(name, at+"/..data_tmp"))
		must(t, os.Rename(at+"/..data_tmp", at+"/..data"))
	}
	edition("..2026_01", "me", "old")
	must(t, os.Symlink("..data/username", at+"/username"))
	must(t, os.Symlink("..data/password", at+"/password"))
	user, password := reads(t, b, "username", "me"), reads(t, b, "password", "old")
	list, err := b.(backend.Indexer).List(limited(t), "")
	if want := []backend.Entry{{Name: "password"}, {Name: "username"}}; err != nil || !slices.Equal(list, want) {
		t.Errorf("listed: %v, %v, want %v", list, err, want)
	}
	edition("..2026_02", "me", "new")
	select {
	case <-told:
	case <-time.After(20 * time.Second):
		t.Fatal("nothing was told")
	}
	if v := reads(t, b, "username", "me"); v != user {
		t.Errorf("username did not change, and its version did")
	}
	if v := reads(t, b, "password", "new"); v == password {
		t.Errorf("password changed, and its version did not")
	}
}

// TestNoWayOut: nothing leads out of the directory.
func TestNoWayOut(t *testing.T) {
	outside := t.TempDir()
	put(t, outside+"/shadow", "not yours")
	at := outside + "/dir"
	put(t, at+"/inside", "mine")
	for name, target := range map[string]string{
		"absolute": outside + "/shadow", "relative": "../shadow", "back": at + "/inside", "up": "..", "magic": "/proc/self/root",
		"circle": "circle", "dangling": "nothing", "alias": "inside", "self": ".",
	} {
		must(t, os.Symlink(target, at+"/"+name))
	}
	must(t, unix.Mkfifo(at+"/fifo", 0o600))
	b := open(t, at, backend.Slot{})
	for _, key := range []string{"absolute", "relative", "back", "up/shadow", "magic/etc/passwd"} {
		refuses(t, b, key, backend.ErrUnsupported, "a symbolic link leads out of the directory")
	}
	for _, key := range []string{"../shadow", "self/../inside", "/etc/passwd", "a//b", "./inside", "inside/", "a\x00"} {
		refuses(t, b, key, backend.ErrNotFound, "no file can have this name")
	}
	refuses(t, b, "circle", backend.ErrUnsupported, "in a circle")
	refuses(t, b, "dangling", backend.ErrNotFound, "no such file")
	refuses(t, b, "inside/x", backend.ErrNotFound, "no such file")
	refuses(t, b, "fifo", backend.ErrUnsupported, "no regular file")
	reads(t, b, "alias", "mine")
	reads(t, b, "self/inside", "mine")
	list, err := b.(backend.Indexer).List(limited(t), "")
	if want := []backend.Entry{{Name: "alias"}, {Name: "inside"}}; err != nil || !slices.Equal(list, want) {
		t.Errorf("listed: %v, %v, want %v", list, err, want)
	}
}

// TestDirectoryComesLater: without the directory nothing works, and all does as
// soon as it is there.
func TestDirectoryComesLater(t *testing.T) {
	at := t.TempDir() + "/later"
	b := open(t, at, backend.Slot{})
	for range 2 {
		refuses(t, b, "a", backend.ErrUnavailable, "the directory is not there: opening "+at+": no such file or directory")
		if _, _, err := get(t, b, "a"); backend.IsAlone(err) {
			t.Error("the error is said to be of one file")
		}
		put(t, at+"/a", "now")
		reads(t, b, "a", "now")
		must(t, os.RemoveAll(at))
	}
}

func TestCredentialsDirectory(t *testing.T) {
	at := t.TempDir()
	put(t, at+"/token", "from systemd")
	put(t, at+"/sub/token", "below it")
	t.Setenv("CREDENTIALS_DIRECTORY", at)
	reads(t, open(t, "$CREDENTIALS_DIRECTORY", backend.Slot{}), "token", "from systemd")
	reads(t, open(t, "$CREDENTIALS_DIRECTORY/sub", backend.Slot{}), "token", "below it")
	t.Setenv("CREDENTIALS_DIRECTORY", "")
	refuses(t, open(t, "$CREDENTIALS_DIRECTORY", backend.Slot{}), "token", backend.ErrUnavailable, "$CREDENTIALS_DIRECTORY is not set")
}
