package bitwarden_test

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/secretfs/secretfs/backend"
	"github.com/secretfs/secretfs/backend/bitwarden/kdf"
	"github.com/secretfs/secretfs/backend/credential"
	"github.com/secretfs/secretfs/backend/disk"
)

const plain = "hunter2hunter2"

// refuses wants an error of a kind with a sentence.
func refuses(t *testing.T, b backend.Backend, key string, kind error, text string) {
	t.Helper()
	_, _, err := get(t, b, key)
	if !errors.Is(err, kind) || !strings.Contains(err.Error(), text) {
		t.Errorf("%s: %v; want %v with %q", key, err, kind, text)
	}
}

func (w *world) logins(want int) {
	w.t.Helper()
	if n := w.server.Logins(); n != want {
		w.t.Errorf("%d logins, want %d", n, want)
	}
}

func TestWrongPasswordIsTriedOnce(t *testing.T) {
	for name, set := range map[string]func(*world){"by key": (*world).byKey, "by password": (*world).byPassword} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			set(w)
			w.add("db", plain)
			w.set("password", "wrong")
			b := w.open()
			refuses(t, b, "item:db", backend.ErrRejected, "master password")
			asked := len(w.server.Requests())
			for range 5 {
				refuses(t, b, "item:db", backend.ErrRejected, "master password")
			}
			w.logins(1)
			if n := len(w.server.Requests()) - asked; n > 0 {
				t.Errorf("%d requests for what was refused before", n)
			}
			if st, _ := b.State(); st != backend.Locked {
				t.Errorf("state %v", st)
			}
			w.set("password", password) // one that is mended counts at once
			want(t, b, "item:db", plain)
		})
	}
}

func TestWrongAPIKeyIsTriedOnce(t *testing.T) {
	w := newWorld(t)
	w.add("db", plain)
	w.set("client_secret", "no such key")
	b := w.open()
	for range 5 {
		refuses(t, b, "item:db", backend.ErrRejected, "it does not know this API key")
	}
	w.logins(1)
	w.set("client_secret", w.account.ClientSecret)
	want(t, b, "item:db", plain)
}

func TestWithoutPasswordNobodyIsAsked(t *testing.T) {
	w := newWorld(t)
	w.set("password", "")
	b := w.open()
	refuses(t, b, "item:db", backend.ErrLocked, "")
	if r := w.server.Requests(); len(r) > 0 {
		t.Errorf("the server was asked: %q", r)
	}
}

func TestAccountWithoutPassword(t *testing.T) {
	w := newWorld(t)
	w.account.NoPassword = true
	refuses(t, w.open(), "item:db", backend.ErrUnsupported, "has no master password")
}

func TestMemoryCeiling(t *testing.T) {
	w := newWorld(t)
	w.account.KDF = kdf.Params{Type: kdf.Argon2id, Iterations: 3, Memory: 512, Parallelism: 4}
	w.cfg.KDFMemory = 64
	refuses(t, w.open(), "item:db", backend.ErrUnsupported, "takes 512 MiB, and kdf_memory allows 64")
	if n := w.derivations(); n > 0 {
		t.Errorf("%d helpers were started", n)
	}
}

func TestSecondFactor(t *testing.T) {
	w := newWorld(t)
	w.byPassword()
	w.account.TOTP = "123456"
	w.add("db", plain)
	b := w.open()
	refuses(t, b, "item:db", backend.ErrLocked, "")
	refuses(t, b, "item:db", backend.ErrLocked, "") // and no login is spent on it
	w.logins(1)
	w.set("totp", "654321")
	refuses(t, b, "item:db", backend.ErrRejected, "Two-step token is invalid")
	w.logins(2)
	w.set("totp", "123456")
	want(t, b, "item:db", plain)
	w.logins(3)
	if len(w.forgot) != 2 {
		t.Errorf("forgotten: %q, want each code", w.forgot)
	}
	// The device is remembered: no code is needed once more.
	w.server.EndSessions(w.account)
	if err := b.Refresh(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestNewDevice(t *testing.T) {
	w := newWorld(t)
	w.byPassword()
	w.account.NewDevice = "98765"
	w.add("db", plain)
	w.disk = disk.New(t.TempDir(), "bw", "")
	b := w.open()
	refuses(t, b, "item:db", backend.ErrLocked, "")
	w.set("new_device_code", "98765")
	want(t, b, "item:db", plain)
	b.Close()
	w.stateless = true
	w.state = backend.Legacy{}
	w.server.EndSessions(w.account)
	b = w.open() // after a reboot it is no new device
	if err := b.Refresh(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestWorkersDoNotLogIn(t *testing.T) {
	for name, set := range map[string]func(*world){"by key": (*world).byKey, "by password": (*world).byPassword} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			set(w)
			w.add("db", plain)
			for range 3 {
				b := w.open()
				want(t, b, "item:db", plain)
				b.Close()
			}
			w.logins(1)
			if n := w.derivations(); n != 1 {
				t.Errorf("%d derivations", n)
			}
			if n := w.server.Count("GET /api/sync"); n != 1 {
				t.Errorf("the vault was fetched %d times", n)
			}
		})
	}
}

func TestRebootsDoNotLogIn(t *testing.T) {
	w := newWorld(t)
	w.stateless = true
	w.disk = disk.New(t.TempDir(), "bw", "")
	w.add("db", plain)
	for range 3 {
		b := w.open()
		want(t, b, "item:db", plain)
		b.Close()
	}
	w.logins(1)
	if n := w.server.Count("GET /api/sync"); n != 1 {
		t.Errorf("the vault was fetched %d times", n)
	}
}

func TestWithoutServerAfterReboot(t *testing.T) {
	w := newWorld(t)
	w.stateless = true
	dir := t.TempDir()
	w.disk = disk.New(dir, "bw", "")
	w.add("db", plain)
	b := w.open()
	want(t, b, "item:db", plain)
	b.Close()
	w.server.Stop()
	b = w.open()
	if s := want(t, b, "item:db", plain); !errors.Is(s.Stale, backend.ErrUnavailable) {
		t.Errorf("stale: %v", s.Stale)
	}
	if st, _ := b.State(); st != backend.Stale {
		t.Errorf("state %v", st)
	}
	w.server.Restart(t)
	if err := b.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	if s := want(t, b, "item:db", plain); s.Stale != nil {
		t.Errorf("the server is back: %v", s.Stale)
	}
	b.Close()
	w.logins(1)

	w.server.Stop()
	w.maxAge = time.Nanosecond
	refuses(t, w.open(), "item:db", backend.ErrUnavailable, "offline_max_age")
	w.maxAge = time.Hour
	damage(t, w.disk, "vault.json")
	refuses(t, w.open(), "item:db", backend.ErrUnavailable, "")
	if !strings.Contains(w.logged(), "the copy of the vault is not used") {
		t.Error("nothing in the log about the damaged copy")
	}
}

// damage changes one character of what is encrypted.
func damage(t *testing.T, d backend.Store, name string) {
	t.Helper()
	b, err := d.Load(name)
	if err != nil {
		t.Fatal(err)
	}
	at := strings.LastIndex(string(b), `"password":"2.`) + 20
	if b[at]++; at < 20 {
		t.Fatal("there is no password in it")
	}
	if err := d.Save(name, b); err != nil {
		t.Fatal(err)
	}
}

func TestNothingSecretIsKept(t *testing.T) {
	w := newWorld(t)
	w.disk = disk.New(t.TempDir(), "bw", "")
	w.add("db", plain)
	want(t, w.open(), "item:db", plain)
	kept := string(w.saved().Rest)
	for _, name := range []string{"session.json", "vault.json"} {
		b, err := w.disk.Load(name)
		if err != nil {
			t.Fatal(err)
		}
		kept += string(b)
	}
	for _, s := range []string{plain, password, w.account.ClientSecret, w.account.Hash, "eyJhbGciOi"} {
		if strings.Contains(kept, s) {
			t.Errorf("%.6s… is kept", s)
		}
	}
}

func TestAnotherAccountUnderTheName(t *testing.T) {
	w := newWorld(t)
	w.disk = disk.New(t.TempDir(), "bw", "")
	w.add("db", plain)
	b := w.open()
	want(t, b, "item:db", plain)
	b.Close()
	w.account = w.server.Register(t, "other@example.test", password, quick)
	w.byKey()
	w.set("client_secret", w.account.ClientSecret)
	refuses(t, w.open(), "item:db", backend.ErrNotFound, `no item "db"`)
}

func TestRevokedTokens(t *testing.T) {
	w := newWorld(t)
	w.byPassword()
	w.timings.Default.TTL = 0
	w.add("db", plain)
	b := w.open()
	want(t, b, "item:db", plain)
	w.server.EndSessions(w.account)
	want(t, b, "item:db", plain)
	w.logins(3) // a refused renewal, and a login
}

func TestRenewal(t *testing.T) {
	w := newWorld(t)
	w.byPassword()
	w.timings.Default.TTL = 0
	w.account.Lifetime = time.Second
	w.add("db", plain)
	b := w.open()
	want(t, b, "item:db", plain)
	time.Sleep(time.Second)
	want(t, b, "item:db", plain)
	w.logins(2)
	if n := w.server.Count("POST /identity/accounts/prelogin/password"); n != 1 {
		t.Errorf("%d logins by password", n)
	}
}

func TestPasswordChanged(t *testing.T) {
	w := newWorld(t)
	w.timings.Default.TTL = 0
	w.add("db", plain)
	b := w.open()
	want(t, b, "item:db", plain)
	w.server.ChangePassword(t, w.account, "another password", w.user)
	if s := want(t, b, "item:db", plain); s.Stale == nil || !strings.Contains(s.Stale.Error(), "master password") {
		t.Errorf("stale: %v", s.Stale)
	}
	w.set("password", "another password")
	if err := b.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	if s := want(t, b, "item:db", plain); s.Stale != nil {
		t.Errorf("stale: %v", s.Stale)
	}
}

func TestLock(t *testing.T) {
	w := newWorld(t)
	w.add("db", plain)
	b := w.open()
	want(t, b, "item:db", plain)
	if err := b.Lock(t.Context()); err != nil {
		t.Fatal(err)
	}
	if l := w.saved(); l.Keys.Len() > 0 {
		t.Error("the next process would have the key")
	}
	w.set("password", "")
	refuses(t, b, "item:db", backend.ErrLocked, "")
	if err := b.Unlock(t.Context()); !errors.Is(err, backend.ErrLocked) {
		t.Errorf("unlocking: %v", err)
	}
	w.set("password", password)
	if err := b.Unlock(t.Context()); err != nil {
		t.Error(err)
	}
	want(t, b, "item:db", plain)
	w.logins(1)
}

func TestFaults(t *testing.T) {
	answer := func(status int, body string, header ...string) func(http.ResponseWriter, *http.Request) bool {
		return func(rw http.ResponseWriter, r *http.Request) bool {
			if len(header) == 2 {
				rw.Header().Set(header[0], header[1])
			}
			rw.WriteHeader(status)
			fmt.Fprint(rw, body)
			return true
		}
	}
	on := func(path string, f func(http.ResponseWriter, *http.Request) bool) func(http.ResponseWriter, *http.Request) bool {
		return func(rw http.ResponseWriter, r *http.Request) bool { return r.URL.Path == path && f(rw, r) }
	}
	for name, c := range map[string]struct {
		hook func(http.ResponseWriter, *http.Request) bool
		kind error
		text string
	}{
		"broken":         {answer(502, "<html>"), backend.ErrUnavailable, "status 502"},
		"no such server": {answer(404, "not here"), backend.ErrUnavailable, "status 404"},
		"too many":       {answer(429, `{"message":"Slow down!"}`, "Retry-After", "60"), backend.ErrUnavailable, "Slow down!"},
		"garbage":        {answer(200, "hello"), backend.ErrUnavailable, "not understood"},
		"elsewhere":      {answer(307, "", "Location", "https://evil.example/"), backend.ErrUnavailable, "evil.example"},
		"cut short":      {on("/api/sync", answer(200, `{"ciphers":[{"id":"x"`)), backend.ErrCorrupt, "cut short"},
		"not a vault":    {on("/api/sync", answer(200, `{"hello":1}`)), backend.ErrCorrupt, "not the content of a vault"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.add("db", plain)
			w.server.Hook(c.hook)
			b := w.open()
			refuses(t, b, "item:db", c.kind, c.text)
			asked := len(w.server.Requests())
			if name == "too many" {
				refuses(t, b, "item:db", c.kind, "left alone")
				if n := len(w.server.Requests()); n != asked {
					t.Errorf("%d requests although asked to wait", n-asked)
				}
				return
			}
			w.server.Hook(nil)
			want(t, b, "item:db", plain)
		})
	}
}

func TestServerHangs(t *testing.T) {
	w := newWorld(t)
	w.timings.Default.TTL = 0
	w.add("db", plain)
	b := w.open()
	want(t, b, "item:db", plain)
	release := make(chan struct{})
	t.Cleanup(func() { close(release) })
	w.server.Hook(func(http.ResponseWriter, *http.Request) bool { <-release; return true })
	began := time.Now()
	if s := want(t, b, "item:db", plain); !errors.Is(s.Stale, backend.ErrTimeout) {
		t.Errorf("stale: %v", s.Stale)
	}
	if d := time.Since(began); d > 5*time.Second {
		t.Errorf("it took %v", d)
	}
}

func TestServerGoneFor(t *testing.T) {
	w := newWorld(t)
	w.timings.Default = backend.Timing{TTL: 0, MaxStale: 100 * time.Millisecond}
	w.add("db", plain)
	b := w.open()
	want(t, b, "item:db", plain)
	w.server.Stop()
	time.Sleep(200 * time.Millisecond)
	refuses(t, b, "item:db", backend.ErrUnavailable, "too old by max_stale")
}

// Older servers, and Vaultwarden of some years ago, say less.
func TestOlderServer(t *testing.T) {
	for name, set := range map[string]func(*world){"by key": (*world).byKey, "by password": (*world).byPassword} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			set(w)
			w.account.Plain = true
			w.server.Hook(func(rw http.ResponseWriter, r *http.Request) bool {
				if r.URL.Path == "/identity/accounts/prelogin/password" {
					rw.WriteHeader(http.StatusNotFound)
					return true
				}
				return hubless(rw, r)
			})
			w.add("db", plain)
			for range 2 {
				b := w.open()
				want(t, b, "item:db", plain)
				b.Close()
			}
			w.logins(1)
		})
	}
}

func TestHeaders(t *testing.T) {
	w := newWorld(t)
	w.cfg.Plain = map[string]string{"CF-Access-Client-Id": "x"}
	w.cfg.Headers = []credential.Source{{Kind: credential.File, Field: "CF-Access-Client-Secret", Name: "/h"}}
	w.set("CF-Access-Client-Secret", "let me pass")
	w.server.Hook(func(rw http.ResponseWriter, r *http.Request) bool {
		ours := r.Header.Get("CF-Access-Client-Id") == "x" && r.Header.Get("CF-Access-Client-Secret") == "let me pass"
		if elsewhere := strings.HasPrefix(r.URL.Path, "/attachments/"); ours == elsewhere {
			rw.WriteHeader(http.StatusForbidden)
			return true
		}
		return false
	})
	id := w.add("db", plain)
	content := w.attach(id, "file.txt", strings.Repeat("content ", 1000))
	b := w.open()
	want(t, b, "item:db", plain)
	want(t, b, "item:db?attachment=file.txt", content)
	w.server.EndSessions(w.account) // a token that is not taken any more is replaced
	want(t, b, "item:db?attachment=file.txt", content)
	refuses(t, b, "item:db?attachment=other", backend.ErrNotFound, "it has 1")
}
