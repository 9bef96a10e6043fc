package keys_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"sync/atomic"
	"testing"

	"filippo.io/age"
	"filippo.io/age/agessh"
	"filippo.io/age/armor"

	"github.com/secretfs/secretfs/backend"
	"github.com/secretfs/secretfs/backend/helper"
	"github.com/secretfs/secretfs/backend/secret"
	"github.com/secretfs/secretfs/backend/sops/keys"
)

const (
	right = "correct horse battery"
	wrong = "wrong horse battery"
)

// headerFor is the header of an age file for a recipient.
func headerFor(t *testing.T, to age.Recipient) []byte {
	t.Helper()
	var file bytes.Buffer
	w, err := age.Encrypt(&file, to)
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	header, err := age.ExtractHeader(&file)
	if err != nil {
		t.Fatal(err)
	}
	return header
}

// protectedSSH is a key of ssh-keygen that takes the passphrase, and the header
// of a file for it.
func protectedSSH(t *testing.T, args ...string) (path string, header []byte) {
	t.Helper()
	path = t.TempDir() + "/id"
	run(t, "ssh-keygen", append([]string{"-q", "-N", right, "-f", path}, args...)...)
	line, err := os.ReadFile(path + ".pub")
	if err != nil {
		t.Fatal(err)
	}
	to, err := agessh.ParseRecipient(string(line))
	if err != nil {
		t.Fatal(err)
	}
	return path, headerFor(t, to)
}

// protectedAge is an identity file that age -p could have made, as cheap as may
// be, and the header of a file for its identity.
func protectedAge(t *testing.T, armored bool) (path string, header []byte) {
	t.Helper()
	text, recipient := ageKey(t)
	pass, err := age.NewScryptRecipient(right)
	if err != nil {
		t.Fatal(err)
	}
	pass.SetWorkFactor(10)
	var file bytes.Buffer
	var out io.WriteCloser = nopCloser{&file}
	if armored {
		out = armor.NewWriter(&file)
	}
	w, err := age.Encrypt(out, pass)
	if err == nil {
		_, err = io.WriteString(w, text)
	}
	if err := errors.Join(err, w.Close(), out.Close()); err != nil {
		t.Fatal(err)
	}
	to, err := age.ParseX25519Recipient(recipient)
	if err != nil {
		t.Fatal(err)
	}
	return write(t, file.String()), headerFor(t, to)
}

type nopCloser struct{ io.Writer }

func (nopCloser) Close() error { return nil }

// A chain gives one passphrase and counts.
type chain struct {
	text        atomic.Value
	gets, wrong atomic.Int32
	asks        atomic.Int32
}

// ring opens path, with helpers that are counted.
func (c *chain) ring(t *testing.T, path ...string) *keys.Ring {
	start := helpers()
	r := newRing(t, keys.Config{KeyFiles: path}, counted(start, &c.asks))
	return r.Use(keys.Passphrase{
		Get: func(context.Context) (*secret.Value, error) {
			c.gets.Add(1)
			if text := c.text.Load().(string); text != "" {
				return secret.From([]byte(text))
			}
			return nil, helper.Refuse(backend.ErrLocked, "nobody has typed it")
		},
		Wrong: func() { c.wrong.Add(1) },
	})
}

func newChain(text string) *chain {
	c := &chain{}
	c.text.Store(text)
	return c
}

func TestProtectedKeyFiles(t *testing.T) {
	t.Parallel()
	ed25519, ed25519Header := protectedSSH(t, "-t", "ed25519")
	rsa, rsaHeader := protectedSSH(t, "-t", "rsa", "-b", "2048")
	pem, pemHeader := protectedSSH(t, "-t", "rsa", "-b", "2048", "-m", "PEM")
	binary, binaryHeader := protectedAge(t, false)
	armored, armoredHeader := protectedAge(t, true)
	for name, f := range map[string]struct {
		path   string
		header []byte
	}{
		"ssh ed25519": {ed25519, ed25519Header},
		"ssh rsa":     {rsa, rsaHeader},
		"ssh rsa PEM": {pem, pemHeader},
		"age":         {binary, binaryHeader},
		"age armored": {armored, armoredHeader},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newChain("")
			r := c.ring(t, f.path)
			fails := func(kind error, want string) {
				t.Helper()
				_, err := r.FileKey(testContext(t), f.header)
				if !errors.Is(err, kind) || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), wrong[:8]) {
					t.Errorf("got %v, want %v with %q", err, kind, want)
				}
			}
			fails(backend.ErrLocked, f.path+" is protected by a passphrase: nobody has typed it")
			c.text.Store(wrong)
			fails(backend.ErrRejected, "the passphrase of "+f.path+" is wrong")
			before := c.asks.Load()
			fails(backend.ErrRejected, "the passphrase of "+f.path+" is wrong")
			if c.asks.Load() != before {
				t.Error("a wrong passphrase was tried again")
			}
			if c.wrong.Load() != 2 {
				t.Errorf("said to be wrong %d times", c.wrong.Load())
			}
			c.text.Store(right)
			for range 2 {
				key, err := r.FileKey(testContext(t), f.header)
				if err != nil || key.Len() != 16 {
					t.Fatalf("opened: %d bytes, %v", key.Len(), err)
				}
				key.Destroy()
			}
			if n := c.asks.Load(); n != before+1 {
				t.Errorf("%d helpers opened it", n-before)
			}
			r.Lock()
			c.text.Store("")
			fails(backend.ErrLocked, "nobody has typed it")
		})
	}
}

// What takes no passphrase is tried first, and is enough where it opens.
func TestProtectedIsLast(t *testing.T) {
	t.Parallel()
	path, header := protectedSSH(t, "-t", "ed25519")
	text, recipient := ageKey(t)
	to, err := age.ParseX25519Recipient(recipient)
	if err != nil {
		t.Fatal(err)
	}
	c := newChain(right)
	r := c.ring(t, path, write(t, text))
	key, err := r.FileKey(testContext(t), headerFor(t, to))
	if err != nil {
		t.Fatal(err)
	}
	key.Destroy()
	if c.gets.Load() != 0 {
		t.Error("the passphrase was looked up for nothing")
	}
	if key, err = r.FileKey(testContext(t), header); err != nil {
		t.Fatal(err)
	}
	key.Destroy()
	none := newRing(t, keys.Config{KeyFiles: []string{path}}, helpers())
	if _, err := none.FileKey(testContext(t), header); !errors.Is(err, backend.ErrLocked) || !strings.Contains(err.Error(), "say where that comes from, with passphrase:") {
		t.Errorf("without a passphrase: %v", err)
	}
}

// A key file that is replaced is opened anew.
func TestProtectedIsReplaced(t *testing.T) {
	t.Parallel()
	path, header := protectedSSH(t, "-t", "ed25519")
	other, otherHeader := protectedSSH(t, "-t", "ed25519")
	c := newChain(right)
	r := c.ring(t, path)
	key, err := r.FileKey(testContext(t), header)
	if err != nil {
		t.Fatal(err)
	}
	key.Destroy()
	if err := os.Rename(other, path); err != nil {
		t.Fatal(err)
	}
	if key, err = r.FileKey(testContext(t), otherHeader); err != nil {
		t.Fatal(err)
	}
	key.Destroy()
	if _, err := r.FileKey(testContext(t), header); !errors.Is(err, backend.ErrLocked) {
		t.Errorf("with the key that was there before: %v", err)
	}
}

// counted counts the helpers that are started.
func counted(start helper.Starter, n *atomic.Int32) helper.Starter {
	return func(ctx context.Context, call backend.HelperCall) (net.Conn, error) {
		n.Add(1)
		return start(ctx, call)
	}
}
