package age_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/secretfs/secretfs/backend"
	"github.com/secretfs/secretfs/backend/age"
)

// eventually waits for what inotify brings. The limit is a guard against hanging.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited in vain: %s", what)
		}
	}
}

// hears waits until p has told of a change.
func (p *place) hears(t *testing.T, what string) {
	t.Helper()
	select {
	case <-p.told:
	case <-time.After(20 * time.Second):
		t.Fatalf("nothing was told: %s", what)
	}
}

// settles waits until key has that size.
func (p *place) settles(t *testing.T, key string, size int64) {
	t.Helper()
	eventually(t, key+" has its new size", func() bool { return stat(t, p.Backend, key).Size == size })
}

func stat(t *testing.T, b *age.Backend, key string) backend.Info {
	t.Helper()
	info, err := b.Stat(limited(t), key)
	must(t, err)
	return info
}

// TestEdited: what `agenix -e` and `age -o` leave is served, and told.
func TestEdited(t *testing.T) {
	p := newPlace(t)
	p.seal(t, "a.age", "first")
	before := reads(t, p.Backend, "a", "first")
	p.seal(t, "a.age", "second")
	p.hears(t, "replaced")
	p.settles(t, "a", 6)
	after := reads(t, p.Backend, "a", "second")
	if before == after {
		t.Errorf("both are version %s", after)
	}
	must(t, os.WriteFile(filepath.Join(p.dir, "a.age"), []byte(seal(t, "third", p.identity.Recipient())), 0o600))
	p.settles(t, "a", 5)
	reads(t, p.Backend, "a", "third")
}

// TestRekeyed: the same secret for other recipients is the same version, without
// anybody reading it meanwhile, and also for one that was not told.
func TestRekeyed(t *testing.T) {
	p := newPlace(t)
	p.seal(t, "a.age", "the secret")
	version := reads(t, p.Backend, "a", "the secret")
	for range 2 {
		other := newIdentity(t)
		put(t, filepath.Join(p.dir, "a.age"), seal(t, "the secret", other.Recipient(), p.identity.Recipient()))
		p.hears(t, "rekeyed")
		if got := reads(t, p.Backend, "a", "the secret"); got != version {
			t.Errorf("rekeyed, the version is %s, before %s", got, version)
		}
	}
	p.seal(t, "a.age", "the Secret") // as long as before
	eventually(t, "the new value has a version of its own", func() bool { return stat(t, p.Backend, "a").Version != version })
	changed := reads(t, p.Backend, "a", "the Secret")
	p.seal(t, "a.age", "the secret")
	if got := reads(t, p.Backend, "a", "the secret"); got == changed {
		t.Errorf("back to the first value, the version stays %s", got)
	}
}

// TestBroken: a file that is no longer of use leaves the last good one in force,
// says so, and breaks no other.
func TestBroken(t *testing.T) {
	p := newPlace(t)
	p.seal(t, "a.age", "good")
	p.seal(t, "b.age", "beside")
	version := reads(t, p.Backend, "a", "good")
	path := filepath.Join(p.dir, "a.age")
	whole := seal(t, "newer", p.identity.Recipient())
	for broken, sentence := range map[string]string{
		"":                         "the file is empty: damaged or forged",
		"token: plain":             "it is not an age file: damaged or forged",
		whole[:100]:                "the header is damaged: damaged or forged",
		whole[:len(whole)-6]:       "it is cut short, or something follows its end: damaged or forged",
		whole[:len(whole)-1] + "x": "the content does not decrypt: it was changed, cut short or damaged: damaged or forged",
		strings.Replace(whole, "-> X25519 ", "-> X25519 AA", 1): "the header is damaged or forged",
		seal(t, "newer", newIdentity(t).Recipient()):            "no identity matches: it is encrypted to recipients of type X25519",
	} {
		put(t, path, broken)
		got, at, err := get(t, p.Backend, "a")
		if got != "good" || at != version {
			t.Errorf("%.20q: got %q, version %s, want good, %s", broken, got, at, version)
		}
		says(t, err, errors.Unwrap(err), "reading "+path+": "+sentence)
		info := stat(t, p.Backend, "a")
		if info.Version != version || info.Size != 4 || info.Stale == nil {
			t.Errorf("%.20q: stat says %+v", broken, info)
		}
		reads(t, p.Backend, "b", "beside")
		if state, err := p.State(); state != backend.Ready {
			t.Errorf("one broken file of two makes the backend %s: %v", state, err)
		}
	}
	p.seal(t, "a.age", "mended")
	p.settles(t, "a", 6)
	reads(t, p.Backend, "a", "mended")
}

// TestNeverGood: without a last good version the error says what is wrong.
func TestNeverGood(t *testing.T) {
	p := newPlace(t)
	_, host := sshKey(t)
	for name, file := range map[string]string{
		"locked": seal(t, "x", newIdentity(t).Recipient(), host), "empty": "", "cut": seal(t, "x", p.identity.Recipient())[:190],
	} {
		put(t, filepath.Join(p.dir, name+".age"), file)
	}
	must(t, unix.Mkfifo(filepath.Join(p.dir, "fifo.age"), 0o600))
	must(t, os.Mkdir(filepath.Join(p.dir, "dir.age"), 0o700))
	must(t, os.WriteFile(filepath.Join(p.dir, "huge.age"), nil, 0o600))
	must(t, os.Truncate(filepath.Join(p.dir, "huge.age"), 64<<20+1)) // sparse
	for key, want := range map[string]struct {
		kind     error
		sentence string
	}{
		"fifo":   {backend.ErrUnsupported, "/fifo.age: it is no regular file: not supported"},
		"dir":    {backend.ErrUnsupported, "/dir.age: it is no regular file: not supported"},
		"huge":   {backend.ErrUnsupported, "/huge.age: it has 67108865 bytes, expected at most 67108864: not supported"},
		"locked": {backend.ErrLocked, "/locked.age: no identity matches: it is encrypted to recipients of type X25519, ssh-ed25519"},
		"empty":  {backend.ErrCorrupt, "/empty.age: the file is empty: damaged or forged"},
		"gone":   {backend.ErrNotFound, "/gone.age: there is no such file: no such secret"},
		"../x":   {backend.ErrNotFound, `no file can have the key "../x": no such secret`},
	} {
		_, _, err := get(t, p.Backend, key)
		says(t, err, want.kind, want.sentence)
	}
	if info := stat(t, p.Backend, "locked"); info.Size != 1 || !errors.Is(info.Err, backend.ErrLocked) {
		t.Errorf("of a locked file is known: %+v", info)
	}
	put(t, filepath.Join(p.dir, "pass.age"), seal(t, "x", scrypt(t)))
	_, _, err := get(t, p.Backend, "pass")
	says(t, err, backend.ErrUnsupported, "/pass.age: it is encrypted with a passphrase, and nobody is there to type it: encrypt it to recipients (age -r): not supported")
}

// TestKeyAppears: a key file that comes later heals what is locked.
func TestKeyAppears(t *testing.T) {
	dir, keyFile, id := t.TempDir(), filepath.Join(t.TempDir(), "keys.txt"), newIdentity(t)
	put(t, filepath.Join(dir, "a.age"), seal(t, "healed", id.Recipient()))
	b := open(t, dir, keyFile)
	told := make(chan struct{}, 100)
	b.Notify(func() { told <- struct{}{} })
	_, _, err := get(t, b, "a")
	says(t, err, backend.ErrLocked, "no identity is at hand: it is encrypted to recipients of type X25519; "+keyFile+": no such file or directory")
	if state, err := b.State(); state != backend.Locked || err == nil {
		t.Errorf("the state is %s, %v", state, err)
	}
	put(t, keyFile, id.String())
	select {
	case <-told:
	case <-time.After(20 * time.Second):
		t.Error("nothing was told")
	}
	reads(t, b, "a", "healed")
	if state, err := b.State(); state != backend.Ready {
		t.Errorf("healed, the state is %s, %v", state, err)
	}
}

// TestRemoved: what is removed is gone at once, without a last good version.
func TestRemoved(t *testing.T) {
	p := newPlace(t)
	p.seal(t, "a.age", "here")
	reads(t, p.Backend, "a", "here")
	must(t, os.Remove(filepath.Join(p.dir, "a.age")))
	p.hears(t, "removed")
	if _, _, err := get(t, p.Backend, "a"); !errors.Is(err, backend.ErrNotFound) {
		t.Errorf("removed: %v", err)
	}
	p.seal(t, "a.age", "again")
	reads(t, p.Backend, "a", "again")

	must(t, os.Rename(p.dir, p.dir+".away"))
	defer os.Rename(p.dir+".away", p.dir)
	got, _, err := get(t, p.Backend, "a")
	if got != "again" {
		t.Errorf("the whole directory away: got %q", got)
	}
	says(t, err, backend.ErrUnavailable, "reading "+p.dir+"/a.age: the directory is not there: not reachable")
}

func names(t *testing.T, b *age.Backend, key string) []string {
	t.Helper()
	list, err := b.List(limited(t), key)
	must(t, err)
	var names []string
	for _, e := range list {
		if e.Dir {
			e.Name += "/"
		}
		names = append(names, e.Name)
	}
	return names
}

func TestList(t *testing.T) {
	p := newPlace(t)
	outside := t.TempDir()
	put(t, filepath.Join(outside, "store-a"), seal(t, "in the store", p.identity.Recipient()))
	for _, name := range []string{"b.age", "db/x.age", "db/deep/y.age", "both.age", "both/z.age", ".git/q.age", ".hidden.age"} {
		p.seal(t, name, name)
	}
	put(t, filepath.Join(p.dir, "secrets.nix"), "{}")
	must(t, os.Symlink(filepath.Join(outside, "store-a"), filepath.Join(p.dir, "a.age")))
	must(t, os.Symlink("nowhere", filepath.Join(p.dir, "dangling.age")))
	must(t, os.Symlink("..", filepath.Join(p.dir, "db/up")))
	must(t, os.Symlink(".", filepath.Join(p.dir, "db/self")))
	must(t, os.Symlink("db/deep", filepath.Join(p.dir, "link")))
	if got, want := names(t, p.Backend, ""), []string{"a", "b", "both", "db/", "link/"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if got, want := names(t, p.Backend, "db"), []string{"deep/", "x"}; !slices.Equal(got, want) {
		t.Errorf("db: got %v, want %v", got, want)
	}
	reads(t, p.Backend, "a", "in the store")
	reads(t, p.Backend, "link/y", "db/deep/y.age")
	reads(t, p.Backend, ".hidden", ".hidden.age") // named, not listed
	put(t, filepath.Join(outside, "store-a"), seal(t, "switched", p.identity.Recipient()))
	p.hears(t, "the target of a link")
	reads(t, p.Backend, "a", "switched")

	for range 2 {
		for len(p.told) > 0 {
			<-p.told
		}
		p.seal(t, "db/new.age", "new")
		p.hears(t, "a file made in a directory that was listed")
		if got, want := names(t, p.Backend, "db"), []string{"deep/", "new", "x"}; !slices.Equal(got, want) {
			t.Errorf("db: got %v, want %v", got, want)
		}
		must(t, os.Remove(filepath.Join(p.dir, "db/new.age")))
		p.hears(t, "and removed")
	}
}

// TestNamesAskedFor: whoever asks for names that are not there costs nothing that
// stays.
func TestNamesAskedFor(t *testing.T) {
	p := newPlace(t)
	for i := range 100 {
		if _, err := p.Stat(limited(t), "nothing"+strings.Repeat("x", i)); !errors.Is(err, backend.ErrNotFound) {
			t.Error(err)
		}
	}
	if n := age.Entries(p.Backend); n != 0 {
		t.Errorf("%d entries are left", n)
	}
}
