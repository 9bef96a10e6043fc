package main

import (
	"context"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"filippo.io/age"

	"github.com/secretfs/secretfs/backend"
	"github.com/secretfs/secretfs/backend/sops/keys"
	"github.com/secretfs/secretfs/backend/sops/keys/keystest"
)

// keyService runs sops' own key service with that environment.
func keyService(t *testing.T, env ...string) (socket string, stop func()) {
	t.Helper()
	dir, err := os.MkdirTemp("", "ks") // a socket has a short path
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	socket = filepath.Join(dir, "s")
	cmd := exec.Command(keystest.Tool(t, "sops"), "--disable-version-check", "keyservice", "--network", "unix", "--address", socket)
	cmd.Env = append(env, "HOME="+dir, "PATH="+os.Getenv("PATH"))
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { defer close(ended); _ = cmd.Wait() }()
	stop = func() {
		_ = cmd.Process.Kill()
		<-ended
	}
	t.Cleanup(stop)
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if c, err := net.Dial("unix", socket); err == nil {
			c.Close()
			return socket, stop
		}
		if time.Now().After(end) {
			t.Fatal("sops keyservice does not listen")
		}
	}
}

// TestKeyService: the service has the credentials, and this side none.
func TestKeyService(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	id, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	all := services(c.URL)
	env := []string{"SOPS_AGE_KEY=" + id.String()}
	for _, s := range all {
		env = append(env, s.env(c.URL, token)...)
	}
	socket, stop := keyService(t, env...)
	r := ringOf(t, keys.Config{KeyService: socket})
	docs := []*keystest.Doc{keystest.Encrypt(t, "", nil, "--age", id.Recipient().String())}
	for _, s := range all {
		docs = append(docs, keystest.Encrypt(t, "", s.env(c.URL, token), s.args...))
	}
	for _, doc := range docs {
		key, err := r.DataKey(t.Context(), doc.Meta)
		if err != nil {
			t.Errorf("%s: %v", doc.Meta.Groups[0][0].Type, err)
			continue
		}
		doc.Opens(t, key)
		key.Destroy()
	}

	c.deny(403, "AccessDeniedException")
	refuses(t, r, docs[1].Meta, backend.ErrRejected, "the key service at "+socket+" does not open it")
	stop()
	refuses(t, r, docs[0].Meta, backend.ErrUnavailable, "the key service at "+socket+" is not reachable")
	os.Remove(socket)
	refuses(t, r, docs[0].Meta, backend.ErrUnavailable, "there is no key service at "+socket+": start one with sops keyservice --network unix --address "+socket)
}

// TestSilentKeyService: the deadline ends a conversation with one that never answers.
func TestSilentKeyService(t *testing.T) {
	t.Parallel()
	dir, err := os.MkdirTemp("", "ks")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	l, err := net.Listen("unix", dir+"/s")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	r := ringOf(t, keys.Config{KeyService: dir + "/s"})
	doc := keys.Metadata{Groups: []keys.Group{{{Type: keys.Age, Fields: map[string]string{"recipient": "age1x", "enc": "x"}}}}}
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if _, err := r.DataKey(ctx, doc); !errors.Is(err, backend.ErrTimeout) || strings.Contains(err.Error(), token) {
		t.Errorf("got %v", err)
	}
}
