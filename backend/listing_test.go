package backend_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/secretfs/secretfs/backend"
	"github.com/secretfs/secretfs/backend/backendtest"
)

// apps is the key of a directory that shows the place "apps".
var apps = backend.DirKey("apps")

func lister(t *testing.T, o backend.Options, values map[string]string) (*backend.Resolver, *backendtest.Far) {
	t.Helper()
	if values == nil {
		values = map[string]string{"apps/a": "value of a", "apps/sub/b": "value of b", "other/c": "value of c"}
	}
	f := backendtest.NewFar(values)
	if o.Name == "" {
		o.Name, o.Timings = "far", minuteHour
	}
	r := backend.New(f, o)
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
	return r, f
}

func names(t *testing.T, r *backend.Resolver, key string) string {
	t.Helper()
	entries, err := r.List(t.Context(), key)
	if err != nil {
		t.Fatalf("%q: %v", key, err)
	}
	var all []string
	for _, e := range entries {
		if e.Dir {
			e.Name += "/"
		}
		all = append(all, e.Name)
	}
	return strings.Join(all, " ")
}

func TestDirectory(t *testing.T) {
	r, f := lister(t, backend.Options{}, nil)
	if got := names(t, r, apps); got != "a sub/" {
		t.Errorf("got %s", got)
	}
	if got := names(t, r, apps+"/sub"); got != "b" {
		t.Errorf("got %s", got)
	}
	if info, err := r.Stat(t.Context(), apps+"/sub"); err != nil || !info.Dir {
		t.Errorf("%+v, %v", info, err)
	}
	if info, err := r.Stat(t.Context(), apps+"/sub/b"); err != nil || info.Dir || info.Size != backend.SizeUnknown || info.Version != "" {
		t.Errorf("%+v, %v", info, err)
	}
	if text, _ := read(t, r, apps+"/sub/b"); text != "value of b" {
		t.Errorf("got %q", text)
	}
	if info, err := r.Stat(t.Context(), apps+"/sub/b"); err != nil || info.Size != 10 || info.Version == "" {
		t.Errorf("once it was read: %+v, %v", info, err)
	}
	read(t, r, "apps/sub/b") // as a configured secret
	if n := f.Memory.Gets("apps/sub/b"); n != 1 {
		t.Errorf("one secret was fetched %d times", n)
	}
	for _, path := range []string{"/none", "/a/none", "/sub/none", "/sub", ""} {
		if _, err := r.Get(t.Context(), apps+path); !errors.Is(err, backend.ErrNotFound) {
			t.Errorf("reading %q: %v", path, err)
		}
	}
	if _, err := r.List(t.Context(), apps+"/a"); !errors.Is(err, backend.ErrNotFound) {
		t.Errorf("listing a secret: %v", err)
	}
	if _, err := r.List(t.Context(), backend.DirKey("nowhere")); !errors.Is(err, backend.ErrNotFound) {
		t.Errorf("listing what is not there: %v", err)
	}
}

// Whatever things are called elsewhere, each has one file, and that leads to it.
func TestDirectoryOddNames(t *testing.T) {
	values, want := map[string]string{}, map[string]string{}
	var items []backend.Item
	add := func(name, key, id, file string, dir bool) {
		items = append(items, backend.Item{Name: name, Key: key, ID: id, Dir: dir})
		values[key], want[file] = "value of "+key, key
		if dir {
			values[key] = ""
		}
	}
	long := strings.Repeat("long", 100)
	add("plain", "k1", "", "plain", false)
	add("a/b", "k2", "", "a%2Fb", false)
	add("a%2Fb", "k3", "", "a%252Fb", false)
	add("..", "k4", "", "%2E%2E", false)
	add("", "k5", "", "%", false)
	add("nul\x00", "k6", "", "nul%00", false)
	add("GitHub", "k7", "id-7", "GitHub%~id-7", false)
	add("GitHub", "k8", "id-8", "GitHub%~id-8", false)
	add("both", "k9", "", "both", false)
	add("both", "k10", "", "both%2F", true)
	add(long, "k11", "id-11", long[:255-7]+"%~id-11", false)
	add("alone", "k12", "id-12", "alone", false)
	items = append(items, items[0]) // told twice
	r, f := lister(t, backend.Options{}, values)
	f.Show("apps", items...)
	entries, err := r.List(t.Context(), apps)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		key, ok := want[e.Name]
		if !ok {
			t.Errorf("%q was not expected", e.Name)
			continue
		}
		delete(want, e.Name)
		if e.Dir {
			continue
		}
		if text, _ := read(t, r, apps+"/"+e.Name); text != "value of "+key {
			t.Errorf("%q leads to %q, not to %s", e.Name, text, key)
		}
	}
	if len(want) > 0 {
		t.Errorf("no file for %q", want)
	}
}

// A name that comes to mean two things means neither.
func TestDirectorySecondOfAName(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, f := lister(t, backend.Options{}, map[string]string{"1": "mine", "2": "theirs"})
		f.Show("apps", backend.Item{Name: "token", Key: "2", ID: "two"})
		if text, _ := read(t, r, apps+"/token"); text != "theirs" {
			t.Errorf("got %q", text)
		}
		f.Show("apps", backend.Item{Name: "token", Key: "1", ID: "one"}, backend.Item{Name: "token", Key: "2", ID: "two"})
		time.Sleep(2 * ttl)
		if got := names(t, r, apps); got != "token%~one token%~two" {
			t.Errorf("got %s", got)
		}
		if _, err := r.Get(t.Context(), apps+"/token"); !errors.Is(err, backend.ErrNotFound) {
			t.Error(err)
		}
	})
}

// many is what a large place holds.
const many = 10_000

func large() map[string]string {
	values := make(map[string]string, many)
	for i := range many {
		values[fmt.Sprintf("apps/secret-%05d", i)] = "x"
	}
	return values
}

// TestDirectoryIsListedWithoutFetching counts what ls -l of a large directory
// asks of the source: one listing, and no value.
func TestDirectoryIsListedWithoutFetching(t *testing.T) {
	values := large()
	r, f := lister(t, backend.Options{}, values)
	entries, err := r.List(t.Context(), apps)
	if err != nil || len(entries) != many {
		t.Fatalf("%d entries, %v", len(entries), err)
	}
	for _, e := range entries {
		if _, err := r.Stat(t.Context(), apps+"/"+e.Name); err != nil {
			t.Fatal(err)
		}
	}
	if n := f.Listings("apps"); n != 1 {
		t.Errorf("listed %d times", n)
	}
	for key := range values {
		if f.Memory.Gets(key) > 0 {
			t.Fatalf("%s was fetched", key)
		}
	}
}

func BenchmarkDirectory(b *testing.B) {
	f := backendtest.NewFar(large())
	r := backend.New(f, backend.Options{Name: "far", Timings: minuteHour})
	defer r.Close()
	if _, err := r.List(b.Context(), apps); err != nil {
		b.Fatal(err)
	}
	b.Run("list", func(b *testing.B) {
		for b.Loop() {
			if entries, err := r.List(b.Context(), apps); err != nil || len(entries) != many {
				b.Fatal(err)
			}
		}
	})
	b.Run("stat", func(b *testing.B) {
		for b.Loop() {
			if _, err := r.Stat(b.Context(), apps+"/secret-05000"); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// A source that does not answer delays nobody beyond their own deadline, and
// neither other places nor reads.
func TestDirectoryThatHangs(t *testing.T) {
	r, f := lister(t, backend.Options{}, nil)
	release := f.HangListing("apps")
	for _, ask := range []func(context.Context) error{
		func(ctx context.Context) error { _, err := r.List(ctx, apps); return err },
		func(ctx context.Context) error { _, err := r.Stat(ctx, apps+"/a"); return err },
		func(ctx context.Context) error { _, err := r.Get(ctx, apps+"/a"); return err },
	} {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		if err := ask(ctx); !errors.Is(err, backend.ErrTimeout) {
			t.Errorf("got %v", err)
		}
		cancel()
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := r.List(ctx, apps); !errors.Is(err, context.Canceled) {
		t.Errorf("interrupted: %v", err)
	}
	if n := f.Listings("apps"); n != 1 {
		t.Errorf("asked %d times at once", n)
	}
	if got := names(t, r, backend.DirKey("other")); got != "c" {
		t.Errorf("another place: %s", got)
	}
	read(t, r, "apps/a")
	release()
	if got := names(t, r, apps); got != "a sub/" {
		t.Errorf("got %s", got)
	}
}

// However many places hang, reads go on, and no more goroutines do than the
// driver has calls.
func TestDirectoriesThatHangForEver(t *testing.T) {
	r, f := lister(t, backend.Options{}, nil)
	for i := range 20 {
		place := fmt.Sprint("hung", i)
		defer f.HangListing(place)()
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		if _, err := r.List(ctx, backend.DirKey(place)); !errors.Is(err, backend.ErrTimeout) {
			t.Error(err)
		}
		cancel()
	}
	read(t, r, "apps/a")
}

func TestDirectoryIsListedAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, f := lister(t, backend.Options{}, nil)
		var changes atomic.Int32
		r.Notify(func() { changes.Add(1) })
		for range 5 {
			names(t, r, apps)
		}
		if n := f.Listings("apps"); n != 1 {
			t.Errorf("listed %d times within the ttl", n)
		}
		time.Sleep(2 * ttl)
		names(t, r, apps)
		synctest.Wait() // who listed is answered before others are told
		if n := f.Listings("apps"); n != 2 || changes.Load() != 0 {
			t.Errorf("listed %d times after the ttl, told of %d changes", n, changes.Load())
		}
		f.Memory.Put("apps/new", "value of new")
		f.Memory.Remove("apps/a")
		time.Sleep(2 * ttl)
		got := names(t, r, apps)
		if synctest.Wait(); got != "new sub/" || changes.Load() != 1 {
			t.Errorf("got %s, told of %d changes", got, changes.Load())
		}
		f.Memory.Put("apps/newer", "value of newer")
		time.Sleep(2 * ttl)
		if text, _ := read(t, r, apps+"/newer"); text != "value of newer" {
			t.Errorf("a name that is new: %q", text)
		}
	})
}

func TestDirectoryOfAServerThatIsDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, f := lister(t, backend.Options{}, nil)
		f.Down(errDown)
		for range 10 { // a service that keeps crashing
			if _, err := r.List(t.Context(), apps); !errors.Is(err, errDown) {
				t.Fatal(err)
			}
		}
		if n := f.Listings("apps"); n != 1 {
			t.Errorf("asked %d times at once", n)
		}
		if st := r.Status(); st.State != backend.Failed || !errors.Is(st.Err, errDown) {
			t.Errorf("status: %+v", st)
		}
		f.Down(nil)
		time.Sleep(time.Minute)
		if got := names(t, r, apps); got != "a sub/" {
			t.Errorf("when it is back: %s", got)
		}
		if st := r.Status(); st.State != backend.Ready {
			t.Errorf("status: %+v", st)
		}
		f.Down(errDown)
		time.Sleep(30 * time.Minute)
		if got := names(t, r, apps); got != "a sub/" {
			t.Errorf("down for half an hour: %s", got)
		}
		time.Sleep(maxStale)
		if _, err := r.List(t.Context(), apps); !errors.Is(err, errDown) {
			t.Errorf("down for longer than max_stale: %v", err)
		}
	})
}

func TestDirectoryOutlivesItsProcess(t *testing.T) {
	var left backend.Legacy
	synctest.Test(t, func(t *testing.T) {
		save := func(l backend.Legacy) { left.Keys.Destroy(); left = l }
		r, f := lister(t, backend.Options{Name: "far", Timings: minuteHour, Listings: backend.Slot{Save: save}}, nil)
		f.Show("apps", backend.Item{Name: "a/b", Key: "apps/a"}, backend.Item{Name: "sub", Key: "apps/sub", Dir: true})
		names(t, r, apps)
		names(t, r, apps+"/sub")
		time.Sleep(time.Second)
	})
	defer left.Keys.Destroy()
	synctest.Test(t, func(t *testing.T) {
		r, f := lister(t, backend.Options{Name: "far", Timings: minuteHour, Listings: backend.Slot{Saved: left}}, nil)
		f.Down(errDown)
		if got := names(t, r, apps) + " " + names(t, r, apps+"/sub"); got != "a%2Fb sub/ b" || f.Listings("apps") != 0 {
			t.Errorf("the next process lists %s and asked %d times", got, f.Listings("apps"))
		}
		f.Down(nil)
		if text, _ := read(t, r, apps+"/a%2Fb"); text != "value of a" {
			t.Errorf("got %q", text)
		}
	})
}

func TestDirectoryIsForgottenWithLock(t *testing.T) {
	r, f := lister(t, backend.Options{}, nil)
	names(t, r, apps)
	if err := r.Lock(t.Context()); err != nil {
		t.Fatal(err)
	}
	for what, err := range map[string]error{
		"list": func() error { _, err := r.List(t.Context(), apps); return err }(),
		"stat": func() error { _, err := r.Stat(t.Context(), apps+"/a"); return err }(),
		"get":  func() error { _, err := r.Get(t.Context(), apps+"/a"); return err }(),
	} {
		if !errors.Is(err, backend.ErrLocked) {
			t.Errorf("%s: %v", what, err)
		}
	}
	r.Unlock()
	names(t, r, apps)
	if n := f.Listings("apps"); n != 2 {
		t.Errorf("listed %d times: what lock forgets has to be asked for", n)
	}
}

// What the source does not show any more is not shown, however young it is.
func TestDirectoryThatIsTakenBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, f := lister(t, backend.Options{}, nil)
		names(t, r, apps)
		read(t, r, apps+"/a")
		f.Down(fmt.Errorf("no permission to list: %w", backend.ErrRejected))
		time.Sleep(2 * ttl)
		if got, err := r.List(t.Context(), apps); !errors.Is(err, backend.ErrRejected) {
			t.Errorf("still listed: %v, %v", got, err)
		}
		if _, err := r.Get(t.Context(), apps+"/a"); !errors.Is(err, backend.ErrRejected) {
			t.Error(err)
		}
	})
}

func TestDirectoryWhoseDriverPanics(t *testing.T) {
	r, f := lister(t, backend.Options{}, nil)
	f.PanicListing("apps")
	_, err := r.List(t.Context(), apps)
	if err == nil || !strings.Contains(err.Error(), "mistake in the driver") || strings.Contains(err.Error(), "canary") {
		t.Errorf("got %v", err)
	}
	if got := names(t, r, backend.DirKey("other")); got != "c" {
		t.Errorf("another place: %s", got)
	}
}

func TestKeyText(t *testing.T) {
	for key, want := range map[string]string{
		"plain": "plain", "": "", apps: "apps", apps + "/a/b": "apps/a/b", backend.DirKey("x\x00y") + "/a": "x\x00y/a", "\x00": "\x00",
	} {
		if got := backend.KeyText(key); got != want {
			t.Errorf("%q: %q, want %q", key, got, want)
		}
	}
}
