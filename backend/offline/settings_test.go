package offline_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"filippo.io/age"
	"filippo.io/age/agessh"

	"github.com/secretfs/secretfs/backend"
	"github.com/secretfs/secretfs/backend/disk"
	"github.com/secretfs/secretfs/backend/offline"
	"github.com/secretfs/secretfs/backend/secret"
	"github.com/secretfs/secretfs/policy/conf"
)

func decode(t *testing.T, text string) (offline.Settings, error) {
	t.Helper()
	doc, problems := conf.Parse("policy.yaml", []byte(text))
	s := offline.Decode(doc, "/etc/secretfs", problems)
	return s.(offline.Settings), problems.Err()
}

func TestDecode(t *testing.T) {
	id, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	key := filepath.Join(t.TempDir(), "key")
	if out, err := exec.Command("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	public, err := os.ReadFile(key + ".pub")
	if err != nil {
		t.Fatal(err)
	}
	x25519, ed25519 := id.Recipient().String(), strings.TrimSpace(string(public))
	s, err := decode(t, "recipients: ["+x25519+", "+ed25519+"]\nidentities: [keys.txt, /abs]\n")
	if err != nil || len(s.Recipients) != 2 || len(s.Identities) != 2 || s.Identities[0] != "/etc/secretfs/keys.txt" {
		t.Errorf("%+v, %v", s, err)
	}
	if s, err := decode(t, "host_key: /etc/ssh/ssh_host_ed25519_key\n"); err != nil || s.HostKey != "/etc/ssh/ssh_host_ed25519_key" {
		t.Errorf("%+v, %v", s, err)
	}
	for text, want := range map[string]string{
		"{}":                                     "say whom copies are encrypted to",
		"recipients: [" + x25519 + "]\n":         "name the identities too",
		"recipients: [age1x]\nidentities: [k]\n": "1:14: recipients.0: want a recipient of age",
		"recipients: [AGE-SECRET-KEY-1QQQQ]\nidentities: [k]\n":        "want a recipient of age",
		"recipients: [ssh-dss AAAA]\nidentities: [k]\n":                "it is no ssh-ed25519 or ssh-rsa public key",
		"recipients: [" + x25519 + "]\nidentities: [k]\nhost_key: k\n": "recipients and host_key are given",
		"identities: [k]\nhost_key: k\n":                               "host_key opens the copies by itself",
		"host_kee: k\n":                                                "host_kee",
	} {
		_, err := decode(t, text)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
		if err != nil && strings.Contains(err.Error(), "QQQQ") {
			t.Errorf("an identity is quoted: %v", err)
		}
	}
}

// TestHostKey goes there and back with keys that ssh-keygen makes.
func TestHostKey(t *testing.T) {
	dir := t.TempDir()
	for _, kind := range []string{"ed25519", "rsa"} {
		file := filepath.Join(dir, kind)
		if out, err := exec.Command("ssh-keygen", "-q", "-t", kind, "-N", "", "-f", file).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		c := hostCopies(dir, file)
		v, err := secret.From([]byte("canary-value"))
		if err != nil {
			t.Fatal(err)
		}
		defer v.Destroy()
		if err := c.Save(backend.Copy{Key: kind, Version: "v", Value: v}); err != nil {
			t.Fatal(err)
		}
		o, err := c.Load(t.Context(), kind)
		if err != nil {
			t.Fatal(err)
		}
		if string(o.Value.Bytes()) != "canary-value" || o.Version != "v" {
			t.Errorf("got %q, %q", o.Value.Bytes(), o.Version)
		}
		o.Value.Destroy()
	}
	locked := filepath.Join(dir, "locked")
	if out, err := exec.Command("ssh-keygen", "-q", "-t", "ed25519", "-N", "phrase", "-f", locked).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if err := os.WriteFile(dir+"/text", []byte("no key"), 0o600); err != nil {
		t.Fatal(err)
	}
	for file, want := range map[string]string{
		locked: "without a passphrase", dir + "/text": "want an ssh-ed25519 or ssh-rsa private key", dir + "/none": "no such file", dir: "it is no ssh private key",
	} {
		err := hostCopies(dir, file).Save(backend.Copy{Key: "x", Value: mustValue(t)})
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), file) {
			t.Errorf("%s: %v, want %q", file, err, want)
		}
	}
}

func mustValue(t *testing.T) *secret.Value {
	v, err := secret.From([]byte("canary-value"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(v.Destroy)
	return v
}

func hostCopies(dir, file string) *offline.Copies {
	return offline.New(offline.Config{
		Settings: offline.Settings{HostKey: file}, Backend: "x", Store: disk.New(dir+"/state", "x", ""),
		Keys: func(files []string) offline.Keys { return sshOpener(files) },
	})
}

// A sshOpener opens with the first ssh private key.
type sshOpener []string

// FileKey is that of offline.Keys.
func (o sshOpener) FileKey(ctx context.Context, header []byte) (*secret.Value, error) {
	text, err := os.ReadFile(o[0])
	if err != nil {
		return nil, err
	}
	var id age.Identity
	if id, err = agessh.ParseIdentity(text); err != nil {
		return nil, errors.New("no ssh key")
	}
	return opener{id}.FileKey(ctx, header)
}
