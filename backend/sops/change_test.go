package sops

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/secretfs/secretfs/backend"
	"github.com/secretfs/secretfs/backend/watch"
)

// eventually waits for what inotify brings. The limit is a guard against hanging.
func eventually(t *testing.T, what string, cond func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !cond(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited in vain: %s", what)
		}
	}
}

// served is what f serves without looking at the file: a change of it was seen
// by the watch alone.
func (f *fixture) served(key string) string {
	f.mu.Lock()
	f.checked = time.Now().Add(time.Hour)
	f.mu.Unlock()
	got, err := f.get(key)
	if err != nil {
		return err.Error()
	}
	return got
}

func (f *fixture) becomes(t *testing.T, want string) {
	t.Helper()
	eventually(t, "a is "+want, func() bool { return f.served("a") == want })
}

func rename(t *testing.T, from, to string) {
	t.Helper()
	if err := os.Rename(from, to); err != nil {
		t.Fatal(err)
	}
}

func symlink(t *testing.T, target, name string) {
	t.Helper()
	if err := os.Symlink(target, name); err != nil {
		t.Fatal(err)
	}
}

func mkdir(t *testing.T, name string) string {
	t.Helper()
	if err := os.MkdirAll(name, 0o700); err != nil {
		t.Fatal(err)
	}
	return name
}

func sample(t *testing.T, a string) []byte { return mustSeal(t, YAML, "a: "+a+"\n") }

// Each way in which a file changes: make prepares a place where the file says
// "one", and gives its name and what makes it say "two", then "three".
func TestChanges(t *testing.T) {
	for name, prepare := range map[string]func(t *testing.T, dir string) (file string, change func(content []byte, n string)){
		"written in place": func(t *testing.T, dir string) (string, func([]byte, string)) {
			file := filepath.Join(dir, "s.yaml")
			write(t, file, sample(t, "one"))
			return file, func(content []byte, _ string) { write(t, file, content) }
		},
		"renamed over": func(t *testing.T, dir string) (string, func([]byte, string)) {
			file := filepath.Join(dir, "s.yaml")
			write(t, file, sample(t, "one"))
			return file, func(content []byte, n string) {
				write(t, file+n, content)
				rename(t, file+n, file)
			}
		},
		"removed and made again": func(t *testing.T, dir string) (string, func([]byte, string)) {
			file := filepath.Join(dir, "s.yaml")
			write(t, file, sample(t, "one"))
			return file, func(content []byte, _ string) {
				os.Remove(file)
				time.Sleep(2 * watch.Debounce)
				write(t, file, content)
			}
		},
		"symlink switched": func(t *testing.T, dir string) (string, func([]byte, string)) {
			store := mkdir(t, filepath.Join(dir, "store"))
			write(t, filepath.Join(store, "one"), sample(t, "one"))
			file := filepath.Join(mkdir(t, filepath.Join(dir, "etc")), "s.yaml")
			symlink(t, filepath.Join(store, "one"), file)
			return file, func(content []byte, n string) {
				write(t, filepath.Join(store, n), content)
				symlink(t, "../store/"+n, file+".new")
				rename(t, file+".new", file)
			}
		},
		"directory symlink switched, as current-system is": func(t *testing.T, dir string) (string, func([]byte, string)) {
			generation := func(n string, content []byte) string {
				g := mkdir(t, filepath.Join(dir, "store", n, "etc"))
				write(t, filepath.Join(g, "s.yaml"), content)
				return filepath.Dir(g)
			}
			current := filepath.Join(dir, "current-system")
			symlink(t, generation("one", sample(t, "one")), current)
			return filepath.Join(current, "etc", "s.yaml"), func(content []byte, n string) {
				symlink(t, generation(n, content), current+".new")
				rename(t, current+".new", current)
			}
		},
		"target of a symlink rewritten": func(t *testing.T, dir string) (string, func([]byte, string)) {
			target := filepath.Join(mkdir(t, filepath.Join(dir, "store")), "s")
			write(t, target, sample(t, "one"))
			file := filepath.Join(dir, "s.yaml")
			symlink(t, "link2", file)
			symlink(t, "store/s", filepath.Join(dir, "link2"))
			return file, func(content []byte, _ string) { write(t, target, content) }
		},
		"directory replaced": func(t *testing.T, dir string) (string, func([]byte, string)) {
			d := mkdir(t, filepath.Join(dir, "deep", "d"))
			write(t, filepath.Join(d, "s.yaml"), sample(t, "one"))
			return filepath.Join(d, "s.yaml"), func(content []byte, n string) {
				write(t, filepath.Join(mkdir(t, d+n), "s.yaml"), content)
				rename(t, d, d+n+".old")
				rename(t, d+n, d)
			}
		},
		"tree removed and made again": func(t *testing.T, dir string) (string, func([]byte, string)) {
			top := filepath.Join(dir, "x")
			d := filepath.Join(top, "y", "z")
			write(t, filepath.Join(mkdir(t, d), "s.yaml"), sample(t, "one"))
			return filepath.Join(d, "s.yaml"), func(content []byte, _ string) {
				os.RemoveAll(top)
				time.Sleep(2 * watch.Debounce)
				write(t, filepath.Join(mkdir(t, d), "s.yaml"), content)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			file, change := prepare(t, t.TempDir())
			f := newFixture(t, nil, func(c *Config) { c.File = file })
			if got, err := f.get("a"); got != "one" || err != nil {
				t.Fatalf("at first: %q, %v", got, err)
			}
			for _, n := range []string{"two", "three"} {
				told := f.changes.Load()
				change(sample(t, n), n)
				f.becomes(t, n)
				eventually(t, "the change is told", func() bool { return f.changes.Load() > told })
			}
		})
	}
}

func TestKeyAppears(t *testing.T) {
	f := newFixture(t, sample(t, "one"))
	if err := os.Remove(f.keyFile); err != nil {
		t.Fatal(err)
	}
	if _, err := f.get("a"); !errors.Is(err, backend.ErrLocked) {
		t.Errorf("without a key: %v", err)
	}
	if info, err := f.Stat(t.Context(), "a"); err != nil || info.Size != 3 {
		t.Errorf("Stat without a key: %+v, %v", info, err)
	}
	if s, err := f.State(); s != backend.Locked || !errors.Is(err, backend.ErrLocked) {
		t.Errorf("without a key the state is %s, %v", s, err)
	}
	write(t, f.keyFile, []byte(ring().identity.String()))
	f.becomes(t, "one")
	if s, err := f.State(); s != backend.Ready || err != nil {
		t.Errorf("with the key the state is %s, %v", s, err)
	}
}

func TestBrokenFile(t *testing.T) {
	f := newFixture(t, sample(t, "one"))
	if _, err := f.get("a"); err != nil {
		t.Fatal(err)
	}
	whole := sample(t, "two")
	for _, broken := range [][]byte{whole[:len(whole)/2], []byte("nonsense"), {}, forge(t, whole)} {
		write(t, f.file, broken)
		if err := f.Refresh(t.Context()); !errors.Is(err, backend.ErrCorrupt) {
			t.Errorf("a broken file: Refresh says %v", err)
		}
		if got, err := f.get("a"); got != "one" || err != nil {
			t.Errorf("a broken file: Get gives %q, %v", got, err)
		}
		if info, err := f.Stat(t.Context(), "a"); err != nil || !errors.Is(info.Stale, backend.ErrCorrupt) {
			t.Errorf("a broken file: Stat gives %+v, %v", info, err)
		}
		if s, err := f.State(); s != backend.Stale || !errors.Is(err, backend.ErrCorrupt) {
			t.Errorf("a broken file: the state is %s, %v", s, err)
		}
	}
	os.Remove(f.file)
	if err := f.Refresh(t.Context()); !errors.Is(err, backend.ErrUnavailable) || err.Error() != "reading "+f.file+": there is no such file: not reachable" {
		t.Errorf("without the file: %v", err)
	}
	write(t, f.file, whole)
	f.becomes(t, "two")
	if info, err := f.Stat(t.Context(), "a"); err != nil || info.Stale != nil {
		t.Errorf("once it is whole again: Stat gives %+v, %v", info, err)
	}
}

// forge changes the length of nothing and the value of one thing.
func forge(t *testing.T, file []byte) []byte {
	t.Helper()
	other := sample(t, "six")
	at, with := cutSealed(file), cutSealed(other)
	return append(append(append([]byte{}, file[:at[0]]...), other[with[0]:with[1]]...), file[at[1]:]...)
}

func TestMaxStale(t *testing.T) {
	f := newFixture(t, sample(t, "one"), func(c *Config) { c.MaxStale = time.Millisecond })
	if _, err := f.get("a"); err != nil {
		t.Fatal(err)
	}
	write(t, f.file, []byte("nonsense"))
	f.Refresh(t.Context())
	time.Sleep(5 * time.Millisecond)
	if _, err := f.get("a"); !errors.Is(err, backend.ErrCorrupt) {
		t.Errorf("past max_stale: %v", err)
	}
	if info, err := f.Stat(t.Context(), "a"); err != nil || !info.Due || info.Size != 3 {
		t.Errorf("past max_stale: Stat gives %+v, %v: whoever holds that version goes on serving it", info, err)
	}
	if s, _ := f.State(); s != backend.Failed {
		t.Errorf("past max_stale the state is %s", s)
	}
	write(t, f.file, sample(t, "two"))
	f.becomes(t, "two")
}

// TestFIFOInPlaceOfTheFile has nobody take what was read before for the newest.
func TestFIFOInPlaceOfTheFile(t *testing.T) {
	states := make(chan backend.Legacy, 10)
	f := newFixture(t, sample(t, "one"), func(c *Config) { c.MaxStale, c.Save = 2*firstLoad, keepState(states) })
	if got, err := f.get("a"); got != "one" || err != nil {
		t.Fatalf("at first: %q, %v", got, err)
	}
	told := f.changes.Load()
	mkfifo(t, f.file+".fifo")
	if err := os.Link(f.file+".fifo", f.file+".new"); err != nil {
		t.Fatal(err)
	}
	unstick(t, f.file+".fifo")
	rename(t, f.file+".new", f.file)
	eventually(t, "the state says so", func() bool {
		s, err := f.State()
		return s == backend.Stale && errors.Is(err, backend.ErrTimeout)
	})
	eventually(t, "it is told", func() bool { return f.changes.Load() > told })
	<-states
	if since := decodeState(<-states, f.cfg.source()).since; since.IsZero() {
		t.Error("the next process is not told since when")
	}
	eventually(t, "max_stale is over", func() bool {
		_, err := f.get("a")
		return errors.Is(err, backend.ErrTimeout)
	})
	write(t, f.file+".new", sample(t, "two"))
	rename(t, f.file+".new", f.file)
	f.becomes(t, "two")
	if s, err := f.State(); s != backend.Ready || err != nil {
		t.Errorf("with a file in its place the state is %s, %v", s, err)
	}
}

func TestForgedFromTheStart(t *testing.T) {
	f := newFixture(t, forge(t, sample(t, "one")))
	if _, err := f.get("a"); !errors.Is(err, backend.ErrCorrupt) {
		t.Errorf("Get of a forged file: %v", err)
	}
	if _, err := f.Stat(t.Context(), "a"); !errors.Is(err, backend.ErrCorrupt) {
		t.Errorf("Stat of a forged file: %v", err)
	}
	if s, _ := f.State(); s != backend.Failed {
		t.Errorf("the state is %s", s)
	}
}

func TestFIFO(t *testing.T) {
	f := newFixture(t, nil)
	if err := unix.Mkfifo(f.file, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Link(f.file, f.file+".fifo"); err != nil {
		t.Fatal(err)
	}
	unstick(t, f.file+".fifo")
	begin := time.Now()
	ctx, cancel := withTimeout(t, 50*time.Millisecond)
	defer cancel()
	if _, err := f.Get(ctx, "a"); !errors.Is(err, backend.ErrTimeout) {
		t.Errorf("Get of a FIFO: %v", err)
	}
	ctx, cancel = withTimeout(t, 50*time.Millisecond)
	defer cancel()
	if _, err := f.Stat(ctx, "a"); !errors.Is(err, backend.ErrTimeout) {
		t.Errorf("Stat of a FIFO: %v", err)
	}
	if took := time.Since(begin); took > 5*time.Second {
		t.Errorf("it took %v", took)
	}
	eventually(t, "the load is late", func() bool {
		f.mu.Lock()
		defer f.mu.Unlock()
		return time.Since(f.load.begun) > firstLoad
	})
	if _, err := f.Stat(t.Context(), "a"); !errors.Is(err, backend.ErrTimeout) { // would wait for ever
		t.Errorf("Stat of a FIFO, later: %v", err)
	}
	// A file in its place is noticed even though a reader still hangs.
	write(t, f.file+".new", sample(t, "one"))
	rename(t, f.file+".new", f.file)
	f.becomes(t, "one")
}
