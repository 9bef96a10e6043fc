package bws_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io/fs"
	"maps"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/secretfs/secretfs/backend"
	"github.com/secretfs/secretfs/backend/bws"
	"github.com/secretfs/secretfs/backend/secret"
)

// A slot is what the holder keeps.
type slot struct {
	mu   sync.Mutex
	last backend.Legacy
}

func (s *slot) save(l backend.Legacy) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.last.Keys.Destroy()
	s.last = l
}

// take gives a copy, as the next process finds it.
func (s *slot) take() backend.Legacy {
	s.mu.Lock()
	defer s.mu.Unlock()
	v, err := secret.New(s.last.Keys.Len())
	if err != nil {
		panic(err)
	}
	copy(v.Bytes(), s.last.Keys.Bytes())
	return backend.Legacy{Keys: v, Rest: bytes.Clone(s.last.Rest)}
}

// A disk is a state directory.
type disk struct {
	mu     sync.Mutex
	files  map[string][]byte
	writes int
}

func newDisk() *disk { return &disk{files: map[string][]byte{}} }

func (d *disk) len() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.files)
}

func (d *disk) Load(name string) ([]byte, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if f, ok := d.files[name]; ok {
		return f, nil
	}
	return nil, fs.ErrNotExist
}

func (d *disk) Save(name string, data []byte) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.files[name] = bytes.Clone(data)
	d.writes++
	return nil
}

func (d *disk) Remove(name string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.files, name)
	return nil
}

// holdsNo wants none of the texts in what leaves the process.
func holdsNo(t *testing.T, data []byte, texts ...string) {
	t.Helper()
	for _, text := range texts {
		if bytes.Contains(data, []byte(text)) {
			t.Errorf("%q is in what is kept", text)
		}
	}
}

// The next process serves without asking anybody, and does not log in.
func TestNextProcessGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, kept := newSite(), &slot{}
		s.env.State.Save = kept.save
		first := s.open(t)
		version := reads(t, first, tokenKey, tokenValue, false)
		time.Sleep(time.Second)
		first.Close()
		l := kept.take()
		holdsNo(t, l.Rest, tokenValue, dbValue, s.cred.text[39:61])

		before := s.Seen("all")
		s.env.State.Saved = l
		second := s.open(t)
		l.Keys.Destroy() // the Opener's caller does
		if reads(t, second, tokenKey, tokenValue, false) != version {
			t.Error("another version")
		}
		if s.Seen("all") != before {
			t.Error("it asked")
		}
		time.Sleep(bws.TTL)
		reads(t, second, dbKey, dbValue, false)
		if s.Seen("login") != 1 {
			t.Errorf("%d logins", s.Seen("login"))
		}
		second.Close()

		// Under the same name there may be another place after a reload.
		other := settings
		other.API += "/other"
		s.env.State.Saved = kept.take()
		third := bws.New(other, s.env, s.network)
		if state, _ := third.State(); state != backend.Unread {
			t.Errorf("state %s", state)
		}
		third.Close()
		s.env.State.Saved.Keys.Destroy()
	})
}

func TestDamagedStateIsLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, kept := newSite(), &slot{}
		s.env.State.Save = kept.save
		first := s.open(t)
		reads(t, first, tokenKey, tokenValue, false)
		time.Sleep(time.Second)
		first.Close()
		for _, damage := range []func(*backend.Legacy){
			func(l *backend.Legacy) { l.Rest = l.Rest[:len(l.Rest)/2] },
			func(l *backend.Legacy) {
				l.Rest = bytes.Replace(l.Rest, []byte(`"KeyLen":64`), []byte(`"KeyLen":99999`), 1)
			},
			func(l *backend.Legacy) { l.Keys.Destroy() },
			func(l *backend.Legacy) { l.Rest = nil },
		} {
			s.env.State.Saved = kept.take()
			damage(&s.env.State.Saved)
			b := s.open(t)
			reads(t, b, tokenKey, tokenValue, false)
			b.Close()
		}
	})
}

// bootedFrom starts a machine that has lost everything but its disk.
func (s *site) bootedFrom(t *testing.T, d *disk) *bws.Backend {
	s.env.Disk, s.env.State = d, backend.Slot{}
	return s.open(t)
}

func TestRebootWithoutNetwork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, d, f := newSite(), newDisk(), &fault{}
		s.Fault = f.serve
		first := s.bootedFrom(t, d)
		version := reads(t, first, tokenKey, tokenValue, false)
		time.Sleep(time.Second)
		first.Close()
		for _, file := range d.files {
			holdsNo(t, file, tokenValue, dbValue, s.cred.text[39:61], s.cred.text[62:], "db/password")
		}

		f.set(status(503, "", ""))
		time.Sleep(20 * 24 * time.Hour) // no max_stale is that long
		second := s.bootedFrom(t, d)
		if reads(t, second, tokenKey, tokenValue, true) != version {
			t.Error("another version")
		}
		if state, err := second.State(); state != backend.Stale || !errors.Is(err, backend.ErrUnavailable) {
			t.Error(state, err)
		}
		f.set(nil)
		time.Sleep(5 * time.Minute)
		reads(t, second, tokenKey, tokenValue, false)
		second.Close()

		f.set(status(503, "", ""))
		s.cred.set("") // without the access token nothing opens it
		third := s.bootedFrom(t, d)
		fails(t, third, tokenKey, backend.ErrLocked, "")
		s.cred.set(s.NewToken()) // nor with another one
		fails(t, third, tokenKey, backend.ErrUnavailable, "503")
		third.Close()

		s.cred.set("")
		time.Sleep(31 * 24 * time.Hour)
	})
}

func TestWhatIsTooOldOnDiskIsNotServed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, d, f := newSite(), newDisk(), &fault{}
		s.Fault = f.serve
		first := s.bootedFrom(t, d)
		reads(t, first, tokenKey, tokenValue, false)
		time.Sleep(time.Second)
		first.Close()
		f.set(status(503, "", ""))
		time.Sleep(31 * 24 * time.Hour)
		second := s.bootedFrom(t, d)
		fails(t, second, tokenKey, backend.ErrUnavailable, "503")
		second.Close()
	})
}

// A reboot with network needs no login while the session lasts.
func TestRebootDoesNotLogIn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, d := newSite(), newDisk()
		for range 10 {
			b := s.bootedFrom(t, d)
			reads(t, b, tokenKey, tokenValue, false)
			time.Sleep(10 * time.Second)
			b.Close()
		}
		if s.Seen("login") != 1 {
			t.Errorf("%d logins", s.Seen("login"))
		}
		if d.writes > 2 {
			t.Errorf("%d writes although nothing has changed", d.writes)
		}
	})
}

// Each text is encrypted by itself; swapping two of them must not show.
func TestChangedDiskIsLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, d, f := newSite(), newDisk(), &fault{}
		s.Fault = f.serve
		first := s.bootedFrom(t, d)
		reads(t, first, tokenKey, tokenValue, false)
		time.Sleep(time.Second)
		first.Close()
		f.set(status(503, "", ""))
		good := maps.Clone(d.files)
		for name, file := range good {
			swapped := strings.NewReplacer(s.token, s.db, s.db, s.token).Replace(string(file))
			if swapped == string(file) {
				t.Fatal("nothing to swap")
			}
			var old map[string]any
			if err := json.Unmarshal(file, &old); err != nil {
				t.Fatal(err)
			}
			old["Format"] = 2
			later, err := json.Marshal(old)
			if err != nil {
				t.Fatal(err)
			}
			for _, text := range []string{swapped, string(file[:len(file)/2]), "", "{}", string(later)} {
				d.files = map[string][]byte{name: []byte(text)}
				b := s.bootedFrom(t, d)
				fails(t, b, tokenKey, backend.ErrUnavailable, "503")
				b.Close()
			}
		}
	})
}
