package systemdcreds_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/secretfs/secretfs/backend"
	"github.com/secretfs/secretfs/backend/backendtest"
	"github.com/secretfs/secretfs/backend/helper/helpertest"
	"github.com/secretfs/secretfs/backend/program"
	"github.com/secretfs/secretfs/backend/systemdcreds"
)

// TestMain lets the test binary be the helper as well.
func TestMain(m *testing.M) { helpertest.Main(m, program.Solve) }

// A host has a key of its own, apart from that of the machine.
type host struct{ key string }

func newHost(t *testing.T) host {
	t.Helper()
	h := host{filepath.Join(t.TempDir(), "credential.secret")}
	h.creds(t, "", "setup")
	return h
}

func (h host) env() []string {
	return []string{"SYSTEMD_CREDENTIAL_SECRET=" + h.key, "PATH=" + os.Getenv("PATH")}
}

// creds runs the real systemd-creds.
func (h host) creds(t *testing.T, stdin string, args ...string) string {
	t.Helper()
	cmd := exec.Command("systemd-creds", args...)
	cmd.Stdin, cmd.Env = strings.NewReader(stdin), h.env()
	var said bytes.Buffer
	cmd.Stderr = &said
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("systemd-creds %q: %v\n%s", args, err, said.String())
	}
	return string(out)
}

// seal encrypts plain into a file, as systemd-creds does by itself, which takes the
// file's name, unless flags say otherwise.
func (h host) seal(t *testing.T, path, plain string, flags ...string) {
	t.Helper()
	must(t, os.MkdirAll(filepath.Dir(path), 0o755))
	must(t, os.RemoveAll(path)) // it does not write over a file
	h.creds(t, plain, append(append([]string{"encrypt", "--with-key=host"}, flags...), "-", path)...)
}

func (h host) open(t *testing.T, dir string, env ...string) backend.Backend {
	t.Helper()
	start := helpertest.Exec{Commands: map[string][]string{program.Kind: {"/proc/self/exe", helpertest.Role}}, Env: append(h.env(), env...)}
	b, err := systemdcreds.Open(systemdcreds.Settings{Path: dir}, backend.Env{Helper: start.Run})
	must(t, err)
	t.Cleanup(func() { b.Close() })
	return b
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func limited(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func get(t *testing.T, b backend.Backend, key string) (string, backend.Version, error) {
	t.Helper()
	s, err := b.Get(limited(t), key)
	if err != nil {
		return "", "", err
	}
	defer s.Value.Destroy()
	return string(s.Value.Bytes()), s.Version, nil
}

func refuses(t *testing.T, b backend.Backend, key string, kind error, sentence string) {
	t.Helper()
	_, _, err := get(t, b, key)
	if !errors.Is(err, kind) || !strings.Contains(err.Error(), sentence) || !backend.IsAlone(err) {
		t.Errorf("%q: got %v (alone: %v), want %v: …%s…", key, err, backend.IsAlone(err), kind, sentence)
	}
}

// damage changes one byte of what is encrypted.
func damage(t *testing.T, path string) {
	t.Helper()
	text, err := os.ReadFile(path)
	must(t, err)
	sealed, err := base64.StdEncoding.DecodeString(strings.ReplaceAll(string(text), "\n", ""))
	must(t, err)
	sealed[len(sealed)-20] ^= 1
	must(t, os.WriteFile(path, []byte(base64.StdEncoding.EncodeToString(sealed)), 0o600))
}

var plaintexts = map[string]string{
	"token": "canary-token-0001", "db/password": "canary-password-0002\n", "db/deep/key": "canary-key-0003",
}

func TestSuite(t *testing.T) {
	backendtest.Run(t, func(t *testing.T) backendtest.Fixture {
		h, dir := newHost(t), t.TempDir()
		for key, plain := range plaintexts {
			h.seal(t, filepath.Join(dir, key+".cred"), plain)
		}
		return backendtest.Fixture{
			Backend: h.open(t, dir), Secrets: plaintexts, Missing: "nope",
			Corrupt: func(t *testing.T) (backend.Backend, string) {
				dir := t.TempDir()
				h.seal(t, dir+"/token.cred", plaintexts["token"])
				damage(t, dir+"/token.cred")
				return h.open(t, dir), "token"
			},
			Locked: func(t *testing.T) (backend.Backend, string) {
				dir := t.TempDir()
				h.seal(t, dir+"/token.cred", plaintexts["token"])
				return host{filepath.Join(dir, "none")}.open(t, dir), "token"
			},
			Denied: func(t *testing.T) (backend.Backend, string) {
				dir := t.TempDir()
				h.seal(t, dir+"/token.cred", plaintexts["token"], "--name=another")
				return h.open(t, dir), "token"
			},
			Server: h.goes, Slow: h.stalls,
			// It keeps nothing, so that there is nothing to lock or to hand on.
			Without: []string{"lock", "kept state", "places"},
		}
	})
}

// goes is a directory that can be taken away.
func (h host) goes(t *testing.T) backendtest.Server {
	dir := filepath.Join(t.TempDir(), "credentials")
	h.seal(t, dir+"/token.cred", plaintexts["token"])
	return backendtest.Server{
		Backend: h.open(t, dir), Key: "token",
		Cut:  func() { must(t, os.Rename(dir, dir+".away")) },
		Mend: func() { must(t, os.Rename(dir+".away", dir)) },
	}
}

// stalls is a systemd-creds that can wait for a TPM which does not answer.
func (h host) stalls(t *testing.T) backendtest.Server {
	dir, bin := t.TempDir(), t.TempDir()
	h.seal(t, dir+"/token.cred", plaintexts["token"])
	real, err := exec.LookPath("systemd-creds")
	must(t, err)
	sign := filepath.Join(bin, "stalled")
	must(t, os.WriteFile(filepath.Join(bin, "systemd-creds"), fmt.Appendf(nil, "#!/bin/sh\n[ ! -e %s ] || sleep 3600\nexec %s \"$@\"\n", sign, real), 0o755))
	return backendtest.Server{
		Backend: h.open(t, dir, "PATH="+bin+":"+os.Getenv("PATH")), Key: "token",
		Stall: func() { must(t, os.WriteFile(sign, nil, 0o600)) },
		Mend:  func() { must(t, os.Remove(sign)) },
	}
}

// TestNames: a credential opens under the name that it was encrypted with, and a file
// that was moved does not pass for another.
func TestNames(t *testing.T) {
	h, dir := newHost(t), t.TempDir()
	h.seal(t, dir+"/full.cred", "by the file's name")
	h.seal(t, dir+"/short.cred", "by that without extension", "--name=short")
	h.seal(t, dir+"/bare", "without any extension")
	h.seal(t, dir+"/other.cred", "by another name", "--name=wlan")
	h.seal(t, dir+"/any.cred", "by no name", "--name=")
	h.seal(t, dir+"/both", "bare")
	h.seal(t, dir+"/both.cred", "extended")
	must(t, os.Rename(dir+"/full.cred", dir+"/moved.cred"))
	h.seal(t, dir+"/full.cred", "by the file's name")
	b := h.open(t, dir)
	for key, want := range map[string]string{
		"full": "by the file's name", "./full.cred": "by the file's name", "full.cred": "by the file's name",
		"short": "by that without extension", "bare": "without any extension", "any": "by no name",
		"other//wlan": "by another name", "./other.cred//wlan": "by another name", "moved//full.cred": "by the file's name",
		"both": "extended", "./both": "bare",
	} {
		if got, _, err := get(t, b, key); got != want || err != nil {
			t.Errorf("%s: got %q, %v, want %q", key, got, err, want)
		}
	}
	refuses(t, b, "other", backend.ErrRejected, "decrypting "+dir+"/other.cred: it was encrypted under another name than other.cred or other (name: of the secret can say which): ")
	refuses(t, b, "other", backend.ErrRejected, "Embedded credential name 'wlan' does not match filename 'other'")
	refuses(t, b, "moved", backend.ErrRejected, "does not match filename")
	refuses(t, b, "other//wifi", backend.ErrRejected, "does not match filename 'wifi'")
	list, err := b.(backend.Indexer).List(limited(t), "")
	must(t, err)
	var names []string
	for _, e := range list {
		names = append(names, e.Name)
	}
	if want := []string{"any", "bare", "both", "full", "moved", "other", "short"}; !slices.Equal(names, want) {
		t.Errorf("listed: %v, want %v", names, want)
	}
}

func TestRefusals(t *testing.T) {
	h, dir := newHost(t), t.TempDir()
	h.seal(t, dir+"/old.cred", "expired", "--timestamp=2019-01-01", "--not-after=2020-01-01")
	h.seal(t, dir+"/null.cred", "anybody's", "--with-key=tpm2-absent")
	h.seal(t, dir+"/cut.cred", "cut off")
	text, err := os.ReadFile(dir + "/cut.cred")
	must(t, err)
	must(t, os.WriteFile(dir+"/cut.cred", text[:40], 0o600))
	newHost(t).seal(t, dir+"/foreign.cred", "another machine's")
	must(t, os.WriteFile(dir+"/plain.cred", []byte("not encrypted"), 0o600))
	must(t, os.WriteFile(dir+"/empty.cred", nil, 0o600))
	must(t, os.Symlink("/etc/hostname", dir+"/link.cred"))
	b := h.open(t, dir)
	refuses(t, b, "old", backend.ErrExpired, "Credential's time passed")
	refuses(t, b, "null", backend.ErrRejected, "encrypted with the null key")
	refuses(t, b, "cut", backend.ErrCorrupt, "too short")
	refuses(t, b, "foreign", backend.ErrCorrupt, "it is damaged, or encrypted on another machine")
	refuses(t, b, "plain", backend.ErrCorrupt, "it is no credential that systemd-creds has encrypted")
	refuses(t, b, "empty", backend.ErrCorrupt, "it is no credential that systemd-creds has encrypted")
	refuses(t, b, "link", backend.ErrUnsupported, "leads out of the directory")
	refuses(t, b, "gone", backend.ErrNotFound, "there is no file "+dir+"/gone.cred and no file "+dir+"/gone")
	refuses(t, b, "./gone", backend.ErrNotFound, "there is no file "+dir+"/gone: ")
	refuses(t, b, "../gone", backend.ErrNotFound, "there is no file")

	blind := host{dir + "/no-such-key"}.open(t, dir)
	h.seal(t, dir+"/good.cred", "good")
	refuses(t, blind, "good", backend.ErrLocked, "Failed to determine local credential key: No such file or directory")
	if got, _, err := get(t, b, "good"); got != "good" || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
}

// TestChange: another ciphertext is told, and is another version.
func TestChange(t *testing.T) {
	h, dir := newHost(t), t.TempDir()
	h.seal(t, dir+"/a.cred", "first")
	b := h.open(t, dir)
	told := make(chan struct{}, 1000)
	b.(backend.Notifier).Notify(func() { told <- struct{}{} })
	_, before, err := get(t, b, "a")
	must(t, err)
	h.seal(t, dir+"/a.cred", "second")
	select {
	case <-told:
	case <-time.After(20 * time.Second):
		t.Fatal("nothing was told")
	}
	if got, after, err := get(t, b, "a"); got != "second" || after == before || err != nil {
		t.Errorf("got %q, version %s, before %s, %v", got, after, before, err)
	}
}
