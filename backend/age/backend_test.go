package age_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	stdage "filippo.io/age"
	"filippo.io/age/agessh"
	"filippo.io/age/armor"
	"golang.org/x/crypto/ssh"

	"github.com/secretfs/secretfs/backend"
	"github.com/secretfs/secretfs/backend/age"
	"github.com/secretfs/secretfs/backend/backendtest"
	"github.com/secretfs/secretfs/backend/secret"
	"github.com/secretfs/secretfs/backend/sops/keys"
)

// A place is a directory of age files and an identity that opens them.
type place struct {
	*age.Backend
	dir, keyFile string
	identity     *stdage.X25519Identity
	told         chan struct{}
}

func newPlace(t *testing.T) *place {
	t.Helper()
	p := &place{dir: t.TempDir(), keyFile: filepath.Join(t.TempDir(), "keys.txt"), identity: newIdentity(t), told: make(chan struct{}, 1000)}
	put(t, p.keyFile, p.identity.String()+"\n")
	p.Backend = open(t, p.dir, p.keyFile)
	p.Notify(func() { p.told <- struct{}{} })
	return p
}

// open makes a Backend as the program does.
func open(t *testing.T, dir string, keyFiles ...string) *age.Backend {
	t.Helper()
	b := age.New(age.Config{
		Dir: dir, Keys: keys.New(keys.Config{KeyFiles: keyFiles}, nil), KeyFiles: keyFiles, MaxStale: time.Hour,
	})
	t.Cleanup(func() { b.Close() })
	return b
}

func newIdentity(t *testing.T) *stdage.X25519Identity {
	t.Helper()
	id, err := stdage.GenerateX25519Identity()
	must(t, err)
	return id
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

func seal(t *testing.T, plain string, to ...stdage.Recipient) string {
	t.Helper()
	var out bytes.Buffer
	w, err := stdage.Encrypt(&out, to...)
	must(t, err)
	_, err = io.WriteString(w, plain)
	must(t, err)
	must(t, w.Close())
	return out.String()
}

func armored(t *testing.T, file string) string {
	t.Helper()
	var out bytes.Buffer
	w := armor.NewWriter(&out)
	_, err := io.WriteString(w, file)
	must(t, err)
	must(t, w.Close())
	return out.String()
}

// seal encrypts plain into a file of p.
func (p *place) seal(t *testing.T, name, plain string) {
	t.Helper()
	put(t, filepath.Join(p.dir, name), seal(t, plain, p.identity.Recipient()))
}

func limited(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// get reads key; its version is "" where that did not work.
func get(t *testing.T, b *age.Backend, key string) (string, backend.Version, error) {
	t.Helper()
	s, err := b.Get(limited(t), key)
	if err != nil {
		return "", "", err
	}
	defer s.Value.Destroy()
	if s.Stale != nil {
		err = s.Stale
	}
	return string(s.Value.Bytes()), s.Version, err
}

// reads wants key to read as want, its size to be true before and after.
func reads(t *testing.T, b *age.Backend, key, want string) backend.Version {
	t.Helper()
	before, err := b.Stat(limited(t), key)
	if err != nil || before.Size != int64(len(want)) {
		t.Errorf("%s: before it is read: %+v, %v, want a size of %d", key, before, err, len(want))
	}
	got, version, err := get(t, b, key)
	if got != want || err != nil {
		t.Fatalf("%s: got %d bytes %.40q, %v, want %d bytes %.40q", key, len(got), got, err, len(want), want)
	}
	after, err := b.Stat(limited(t), key)
	if err != nil || after != (backend.Info{Size: int64(len(want)), Version: version}) {
		t.Errorf("%s: once read: %+v, %v, want version %s", key, after, err, version)
	}
	return version
}

// says wants an error of this kind that ends with the sentence.
func says(t *testing.T, err, kind error, sentence string) {
	t.Helper()
	if !errors.Is(err, kind) || !strings.HasSuffix(err.Error(), sentence) {
		t.Errorf("got %v\nwant %s", err, sentence)
	}
}

func sshKey(t *testing.T) (private string, recipient stdage.Recipient) {
	t.Helper()
	public, key, err := ed25519.GenerateKey(rand.Reader)
	must(t, err)
	block, err := ssh.MarshalPrivateKey(key, "")
	must(t, err)
	pub, err := ssh.NewPublicKey(public)
	must(t, err)
	r, err := agessh.NewEd25519Recipient(pub)
	must(t, err)
	return string(pem.EncodeToMemory(block)), r
}

var plaintexts = map[string]string{
	"token": "canary-token-0001", "db/password": "canary-database-0002", "db/deep/key": "canary-key-0003",
}

func TestSuite(t *testing.T) {
	backendtest.Run(t, func(t *testing.T) backendtest.Fixture {
		p := newPlace(t)
		for key, plain := range plaintexts {
			p.seal(t, key+".age", plain)
		}
		return backendtest.Fixture{
			Backend: p, Secrets: plaintexts, Missing: "nope",
			Corrupt: func(t *testing.T) (backend.Backend, string) {
				p := newPlace(t)
				file := []byte(seal(t, plaintexts["token"], p.identity.Recipient()))
				file[len(file)-1] ^= 1
				put(t, filepath.Join(p.dir, "token.age"), string(file))
				return p, "token"
			},
			Locked: func(t *testing.T) (backend.Backend, string) {
				p := newPlace(t)
				put(t, filepath.Join(p.dir, "token.age"), seal(t, plaintexts["token"], newIdentity(t).Recipient()))
				return p, "token"
			},
			Denied: refused, Server: goes, Slow: touched,
			Reopen: func(t *testing.T, slot backend.Slot) backend.Backend {
				return age.New(age.Config{
					Dir: p.dir, Keys: keys.New(keys.Config{KeyFiles: []string{p.keyFile}}, nil), KeyFiles: []string{p.keyFile}, MaxStale: time.Hour,
					Save: slot.Save, Saved: slot.Saved,
				})
			},
			Without: []string{"places"},
		}
	})
}

// refused has an identity that is protected by another passphrase than the one at
// hand.
func refused(t *testing.T) (backend.Backend, string) {
	dir, keyFile, identity := t.TempDir(), filepath.Join(t.TempDir(), "keys.age"), newIdentity(t)
	put(t, keyFile, seal(t, identity.String()+"\n", scrypt(t)))
	put(t, filepath.Join(dir, "token.age"), seal(t, plaintexts["token"], identity.Recipient()))
	helps := func(_ context.Context, call backend.HelperCall) (net.Conn, error) {
		ours, theirs := net.Pipe()
		go keys.Serve(call.Kind, theirs)
		return ours, nil
	}
	ring := keys.New(keys.Config{KeyFiles: []string{keyFile}}, helps).Use(keys.Passphrase{
		Get: func(context.Context) (*secret.Value, error) { return secret.From([]byte("another passphrase")) },
	})
	return age.New(age.Config{Dir: dir, Keys: ring, KeyFiles: []string{keyFile}}), "token"
}

// goes is a directory that can be taken away.
func goes(t *testing.T) backendtest.Server {
	p := newPlace(t)
	p.seal(t, "token.age", plaintexts["token"])
	return backendtest.Server{
		Backend: p, Key: "token",
		Cut:  func() { must(t, os.Rename(p.dir, p.dir+".away")) },
		Mend: func() { must(t, os.Rename(p.dir+".away", p.dir)) },
	}
}

// touched needs a token that somebody has to touch.
func touched(t *testing.T) backendtest.Server {
	p := newPlace(t)
	put(t, filepath.Join(p.dir, "token.age"), seal(t, plaintexts["token"], p.identity.Recipient(), newIdentity(t).Recipient()))
	g := gate{Keys: keys.New(keys.Config{KeyFiles: []string{p.keyFile}}, nil), open: make(chan struct{})}
	return backendtest.Server{
		Backend: age.New(age.Config{Dir: p.dir, Keys: g, MaxStale: time.Hour}), Key: "token",
		Stall: func() {}, Mend: func() { close(g.open) },
	}
}

// TestSizes: the length is true without any key, around every bound of a chunk.
func TestSizes(t *testing.T) {
	p := newPlace(t)
	blind := open(t, p.dir)
	for _, n := range []int{0, 1, 15, 16, 17, 65535, 65536, 65537, 131071, 131072, 131073, 1<<20 + 7} {
		plain := strings.Repeat("x", n)
		for name, file := range map[string]string{
			"binary": seal(t, plain, p.identity.Recipient()), "armored": armored(t, seal(t, plain, p.identity.Recipient())),
		} {
			key := filepath.Join(name, strings.Repeat("i", n%200+1))
			put(t, filepath.Join(p.dir, key+".age"), file)
			if info, err := blind.Stat(limited(t), key); err != nil || info.Size != int64(n) {
				t.Errorf("%s, %d bytes, without a key: %+v, %v", name, n, info, err)
			}
			reads(t, p.Backend, key, plain)
			must(t, os.Remove(filepath.Join(p.dir, key+".age")))
		}
	}
}

func TestSSHHostKey(t *testing.T) {
	dir, keyFile := t.TempDir(), filepath.Join(t.TempDir(), "ssh_host_ed25519_key")
	private, recipient := sshKey(t)
	put(t, keyFile, private)
	put(t, filepath.Join(dir, "a.age"), seal(t, "by a host key", newIdentity(t).Recipient(), recipient))
	reads(t, open(t, dir, keyFile), "a", "by a host key")
}

func scrypt(t *testing.T) stdage.Recipient {
	t.Helper()
	r, err := stdage.NewScryptRecipient("correct horse")
	must(t, err)
	r.SetWorkFactor(5)
	return r
}
