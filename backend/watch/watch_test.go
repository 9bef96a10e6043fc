package watch

import (
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

func TestMain(m *testing.M) {
	code := m.Run()
	if watches, dirs := Stats(); watches+dirs > 0 {
		fmt.Printf("%d watches of %d directories are left behind\n", watches, dirs)
		code = 1
	}
	os.Exit(code)
}

// A witness is told of changes.
type witness struct {
	*Watch
	told chan struct{}
}

func newWitness(t *testing.T) *witness {
	w := &witness{told: make(chan struct{}, 100)}
	w.Watch = New(func() { w.told <- struct{}{} })
	t.Cleanup(w.Close)
	return w
}

func (w *witness) sees(t *testing.T, what string) {
	t.Helper()
	select {
	case <-w.told:
	case <-time.After(20 * time.Second):
		t.Fatalf("not noticed: %s", what)
	}
	for { // what belongs to the same change
		select {
		case <-w.told:
		case <-time.After(4 * Debounce):
			return
		}
	}
}

func put(t *testing.T, path string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(path), 0o600); err != nil {
		t.Fatal(err)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestFileThroughLinks(t *testing.T) {
	dir, w := t.TempDir(), newWitness(t)
	must(t, os.MkdirAll(filepath.Join(dir, "store/1"), 0o700))
	must(t, os.MkdirAll(filepath.Join(dir, "store/2"), 0o700))
	put(t, filepath.Join(dir, "store/1/a"))
	must(t, os.Symlink("store/1", filepath.Join(dir, "now")))
	w.Add(filepath.Join(dir, "now/a"))
	put(t, filepath.Join(dir, "store/1/a"))
	w.sees(t, "written in place behind a link")
	must(t, os.Symlink("store/2", filepath.Join(dir, "next")))
	must(t, os.Rename(filepath.Join(dir, "next"), filepath.Join(dir, "now")))
	w.sees(t, "the link switched")
	put(t, filepath.Join(dir, "store/2/a"))
	w.sees(t, "made where the link leads now")
}

func TestDirs(t *testing.T) {
	dir, w := t.TempDir(), newWitness(t)
	w.AddDirs(dir, filepath.Join(dir, "sub"))
	put(t, filepath.Join(dir, "a"))
	w.sees(t, "a file made")
	must(t, os.Remove(filepath.Join(dir, "a")))
	w.sees(t, "a file removed")
	must(t, os.Mkdir(filepath.Join(dir, "sub"), 0o700))
	w.sees(t, "a directory made")
	put(t, filepath.Join(dir, "sub/b"))
	w.sees(t, "a file made in it")
}

// What is added while a change is being followed must not get lost.
func TestAddedMeanwhile(t *testing.T) {
	w, stop := newWitness(t), make(chan struct{})
	var following sync.WaitGroup
	following.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				w.again()
			}
		}
	})
	var dirs []string
	for range 40 {
		dirs = append(dirs, t.TempDir())
		w.Add(filepath.Join(dirs[len(dirs)-1], "file"))
	}
	close(stop)
	following.Wait()
	events.mu.Lock()
	defer events.mu.Unlock()
	watched := 0
	for _, of := range events.dirs {
		if of[w.Watch]["file"] {
			watched++
		}
	}
	if watched != len(dirs) {
		t.Errorf("%d of %d files are watched", watched, len(dirs))
	}
}

func TestClosed(t *testing.T) {
	dir, w := t.TempDir(), newWitness(t)
	w.AddDirs(dir)
	w.Close()
	put(t, filepath.Join(dir, "a"))
	select {
	case <-w.told:
		t.Error("a closed watch still tells")
	case <-time.After(4 * Debounce):
	}
	w.Add(filepath.Join(dir, "b")) // must not open anything again
}
