package disk_test

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/secretfs/secretfs/backend/disk"
)

func TestSaveLoadRemove(t *testing.T) {
	state := filepath.Join(t.TempDir(), "not", "yet")
	s := disk.New(state, "a/b", "")
	if _, err := s.Load("vault"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("before anything is saved: %v", err)
	}
	if err := s.Remove("vault"); err != nil {
		t.Error(err)
	}
	for _, text := range []string{"first", "second, longer", "", "3"} {
		if err := s.Save("vault", []byte(text)); err != nil {
			t.Fatal(err)
		}
		if got, err := s.Load("vault"); err != nil || string(got) != text {
			t.Errorf("got %q, %v, saved %q", got, err, text)
		}
	}
	for path, want := range map[string]fs.FileMode{state: fs.ModeDir | 0o700, state + "/a%2Fb": fs.ModeDir | 0o700, state + "/a%2Fb/vault": 0o600} {
		if info, err := os.Lstat(path); err != nil || info.Mode() != want {
			t.Errorf("%s: %v, mode %v, want %v", path, err, info.Mode(), want)
		}
	}
	if names, err := s.Names(); err != nil || !slices.Equal(names, []string{"vault"}) {
		t.Errorf("names %q, %v: nothing else may be left", names, err)
	}
	if err := s.Remove("vault"); err != nil {
		t.Error(err)
	}
	if _, err := s.Load("vault"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("after it was removed: %v", err)
	}
}

func TestClear(t *testing.T) {
	state := t.TempDir()
	s, part := disk.New(state, "x", ""), disk.New(state, "x", "offline")
	if err := s.Clear(); err != nil {
		t.Errorf("nothing to clear: %v", err)
	}
	for _, name := range []string{"a", "b"} {
		if err := errors.Join(s.Save(name, nil), part.Save(name, nil)); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Clear(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(s.Path()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the folder is there: %v", err)
	}
	if names, err := part.Names(); err != nil || len(names) != 2 {
		t.Errorf("the other part has %q, %v", names, err)
	}
	if err := s.Save("c", nil); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}

func TestBackendsAreApart(t *testing.T) {
	state := t.TempDir()
	for _, name := range []string{"a", "b", "a/b", "..", ".", "a%2Fb", "ü"} {
		if err := disk.New(state, name, "").Save("x", []byte(name)); err != nil {
			t.Errorf("%q: %v", name, err)
		}
	}
	for _, name := range []string{"a", "b", "a/b", "..", ".", "a%2Fb", "ü"} {
		if got, err := disk.New(state, name, "").Load("x"); err != nil || string(got) != name {
			t.Errorf("%q: got %q, %v", name, got, err)
		}
	}
	if entries, err := os.ReadDir(state); err != nil || len(entries) != 7 {
		t.Errorf("%d folders, %v", len(entries), err)
	}
}

func TestNames(t *testing.T) {
	s := disk.New(t.TempDir(), "x", "")
	for _, name := range []string{"", ".", "..", "a/b", "../a", "A", "a~b", "a b", "ä", "a\x00", strings.Repeat("a", 201)} {
		if err := s.Save(name, nil); err == nil {
			t.Errorf("%q was taken for a name", name)
		}
		if _, err := s.Load(name); err == nil || errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%q: %v", name, err)
		}
	}
	for _, name := range []string{"vault-1.json", ".a", "0"} {
		if err := s.Save(name, nil); err != nil {
			t.Error(err)
		}
	}
}

// What others could have written is neither read nor written to.
func TestForeignFolder(t *testing.T) {
	for name, spoil := range map[string]func(folder string) error{
		"open to others": func(f string) error { return os.Chmod(f, 0o750) },
		"a link out": func(f string) error {
			return errors.Join(os.RemoveAll(f), os.Symlink(filepath.Dir(filepath.Dir(f)), f))
		},
		"a file": func(f string) error { return errors.Join(os.RemoveAll(f), os.WriteFile(f, nil, 0o600)) },
	} {
		t.Run(name, func(t *testing.T) {
			s := disk.New(t.TempDir(), "x", "")
			if err := s.Save("a", []byte("mine")); err != nil {
				t.Fatal(err)
			}
			if err := spoil(s.Path()); err != nil {
				t.Fatal(err)
			}
			if err := s.Save("a", nil); err == nil || !strings.Contains(err.Error(), s.Path()+"/a: ") {
				t.Errorf("saved: %v", err)
			}
			if got, err := s.Load("a"); err == nil {
				t.Errorf("loaded %q", got)
			}
		})
	}
}

func TestFileIsNoLinkOut(t *testing.T) {
	s := disk.New(t.TempDir(), "x", "")
	if err := s.Save("a", nil); err != nil {
		t.Fatal(err)
	}
	outside := filepath.Join(t.TempDir(), "outside")
	if err := errors.Join(os.WriteFile(outside, []byte("kept"), 0o600), os.Remove(s.Path()+"/a"), os.Symlink(outside, s.Path()+"/a")); err != nil {
		t.Fatal(err)
	}
	if got, err := s.Load("a"); err == nil {
		t.Errorf("loaded %q through a link", got)
	}
	if err := s.Save("a", []byte("new")); err != nil {
		t.Error(err)
	}
	if got, err := os.ReadFile(outside); err != nil || string(got) != "kept" {
		t.Errorf("outside is %q, %v", got, err)
	}
}

// Whoever reads while others write sees one of the versions, whole.
func TestReplacedWhole(t *testing.T) {
	state := t.TempDir()
	version := func(i int) []byte { return bytes.Repeat([]byte{byte('a' + i)}, 100_000+i) }
	if err := disk.New(state, "x", "").Save("v", version(0)); err != nil {
		t.Fatal(err)
	}
	var writers sync.WaitGroup
	for w := range 2 {
		s := disk.New(state, "x", "") // as another process has it
		writers.Go(func() {
			for i := range 20 {
				if err := s.Save("v", version(1+(2*i+w)%20)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	done := make(chan struct{})
	go func() { writers.Wait(); close(done) }()
	for seen := 0; ; seen++ {
		got, err := disk.New(state, "x", "").Load("v")
		if err != nil || len(got) == 0 || !bytes.Equal(got, version(int(got[0]-'a'))) {
			t.Fatalf("after %d reads: %d bytes, %v", seen, len(got), err)
		}
		select {
		case <-done:
			if entries, err := os.ReadDir(state + "/x"); err != nil || len(entries) != 1 {
				t.Errorf("%v are left, %v", entries, err)
			}
			return
		default:
		}
	}
}

func TestHalfWrittenFilesGo(t *testing.T) {
	s := disk.New(t.TempDir(), "x", "")
	if err := s.Save("a", nil); err != nil {
		t.Fatal(err)
	}
	for i, age := range []time.Duration{time.Hour, 0} {
		name := fmt.Sprintf("%s/a~%d", s.Path(), i)
		if err := errors.Join(os.WriteFile(name, nil, 0o600), os.Chtimes(name, time.Time{}, time.Now().Add(-age))); err != nil {
			t.Fatal(err)
		}
	}
	next := disk.New(filepath.Dir(s.Path()), "x", "")
	if err := next.Save("b", nil); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(s.Path() + "/a~0"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("an old one is still there: %v", err)
	}
	if _, err := os.Stat(s.Path() + "/a~1"); err != nil {
		t.Errorf("another process may be writing it: %v", err)
	}
}
