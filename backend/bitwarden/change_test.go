package bitwarden_test

import (
	"testing"
	"time"

	"github.com/secretfs/secretfs/backend"
	"github.com/secretfs/secretfs/tests/bwserver"
)

func eventually(t *testing.T, what string, f func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !f(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

// edit gives an item another password.
func (w *world) edit(id, password string) {
	w.server.Edit(w.t, w.account, id, func(c map[string]any) {
		c["login"].(map[string]any)["password"] = bwserver.Seal(w.t, w.user, []byte(password))
	})
}

func TestPolling(t *testing.T) {
	w := newWorld(t)
	w.timings.Default.TTL = time.Second
	w.server.Hook(hubless)
	id := w.add("db", plain)
	b := w.open()
	changed := make(chan struct{}, 16)
	b.Notify(func() { changed <- struct{}{} })
	first := want(t, b, "item:db", plain)
	<-changed // that the vault is there
	w.edit(id, "another-password")
	select {
	case <-changed:
	case <-time.After(10 * time.Second):
		t.Fatal("nothing was noticed")
	}
	info, err := b.Stat(t.Context(), "item:db")
	if err != nil || info.Version == first.Version || info.Version == "" {
		t.Errorf("%+v, %v; it was %q", info, err, first.Version)
	}
	want(t, b, "item:db", "another-password")
	w.logins(1)
}

func TestPush(t *testing.T) {
	w := newWorld(t)
	id := w.add("db", plain)
	b := w.open()
	want(t, b, "item:db", plain)
	eventually(t, "a listener", func() bool { return w.server.Listeners() == 1 })
	w.edit(id, "another-password")
	eventually(t, "the new value", func() bool {
		got, _, err := get(t, b, "item:db")
		return err == nil && got == "another-password"
	})
	w.server.Logout(w.account)
	eventually(t, "the keys to go", func() bool {
		l := w.saved()
		defer l.Keys.Destroy()
		return l.Keys.Len() == 0
	})
	w.logins(1)
	want(t, b, "item:db", "another-password") // logs in anew
	w.logins(2)
	eventually(t, "a listener", func() bool { return w.server.Listeners() == 1 })
	w.server.Logout(w.account)
	w.set("password", "")
	eventually(t, "the vault to be locked", func() bool {
		_, _, err := get(t, b, "item:db")
		return err != nil
	})
}

func TestNewItemIsLookedFor(t *testing.T) {
	w := newWorld(t)
	b := w.open()
	refuses(t, b, "item:db", backend.ErrNotFound, `no item "db"`)
	w.add("db", plain)
	refuses(t, b, "item:db", backend.ErrNotFound, "") // it was asked for just now
	if err := b.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	want(t, b, "item:db", plain)
}

func TestVersionOutlivesEditsOfOtherFields(t *testing.T) {
	w := newWorld(t)
	w.timings.Default.TTL = 0
	id := w.add("db", plain)
	b := w.open()
	first := want(t, b, "item:db", plain).Version
	w.edit(id, plain) // encrypted anew, as clients do
	if v := want(t, b, "item:db", plain).Version; v != first {
		t.Errorf("version %q, it was %q", v, first)
	}
	w.edit(id, "another")
	second := want(t, b, "item:db", "another").Version
	w.edit(id, "another")
	if v := want(t, b, "item:db", "another").Version; v != second || v == first {
		t.Errorf("version %q, it was %q", v, second)
	}
	b.Close()
	if v := want(t, w.open(), "item:db", "another").Version; v != second {
		t.Errorf("the next worker has version %q, it was %q", v, second)
	}
}
