package credentials_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/secretfs/secretfs/backend"
	"github.com/secretfs/secretfs/backend/credential"
	"github.com/secretfs/secretfs/backend/secret"
	"github.com/secretfs/secretfs/fs/credentials"
)

const password = "correct horse battery"

func write(t *testing.T, path, text string, mode os.FileMode) string {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
	return path
}

// get gets a credential, whose errors must keep their kind and show nothing.
func get(t *testing.T, c *credentials.Chain, s credential.Source) (string, error) {
	t.Helper()
	s.Field = "password"
	v, err := c.Get(t.Context(), s)
	defer v.Destroy()
	if err != nil && (!errors.Is(err, backend.ErrLocked) || strings.Contains(err.Error(), password[:8])) {
		t.Errorf("%v", err)
	}
	return string(v.Bytes()), err
}

func file(name string) credential.Source { return credential.Source{Kind: credential.File, Name: name} }

func TestFile(t *testing.T) {
	dir := t.TempDir()
	for text, want := range map[string]string{
		password:          password,
		password + "\n":   password,
		password + "\r\n": password,
		password + "\n\n": password + "\n",
		" " + password:    " " + password,
		"\r":              "\r",
	} {
		got, err := get(t, &credentials.Chain{}, file(write(t, dir+"/pw", text, 0o600)))
		if err != nil || got != want {
			t.Errorf("%q: got %q, %v", text, got, err)
		}
	}
}

func TestFileIsRefused(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mkfifo(dir+"/fifo", 0o600); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		dir + "/none":                            "there is no such file",
		dir + "/none/pw":                         "there is no such file",
		dir:                                      "it is not a regular file",
		dir + "/fifo":                            "it is not a regular file",
		"/dev/zero":                              "it is not a regular file",
		"/run/secrets/pw":                        "write {secret: pw}",
		write(t, dir+"/others", password, 0o604): "everybody can read it (mode 0604): chmod 600 " + dir + "/others",
		write(t, dir+"/group", password, 0o640):  "its group can read it (mode 0640): chmod 600 " + dir + "/group",
		write(t, dir+"/empty", "\n", 0o600):      "it is empty",
		write(t, dir+"/long", strings.Repeat("x", credentials.MaxLen+1), 0o600): "expected at most",
	} {
		_, err := get(t, &credentials.Chain{Mount: "/run/secrets"}, file(name))
		if err == nil || !strings.Contains(err.Error(), want) || !strings.HasPrefix(err.Error(), "getting the password from file "+name+": ") {
			t.Errorf("%s: %v, want %q in it", name, err, want)
		}
	}
}

// A file that appears or is mended later is found then.
func TestFileHeals(t *testing.T) {
	name := filepath.Join(t.TempDir(), "pw")
	c := &credentials.Chain{}
	if _, err := get(t, c, file(name)); err == nil {
		t.Error("a missing file was read")
	}
	write(t, name, password, 0o644)
	if _, err := get(t, c, file(name)); err == nil {
		t.Error("a file was read that everybody can read")
	}
	if err := os.Chmod(name, 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := get(t, c, file(name)); err != nil || got != password {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestLine(t *testing.T) {
	name := filepath.Join(t.TempDir(), "creds")
	for text, want := range map[string]string{
		"PW=abc\n":                         "abc",
		"PW=abc":                           "abc",
		"  PW=abc  \n":                     "abc",
		"export PW=abc\n":                  "abc",
		"export \t PW=abc\r\n":             "abc",
		"PW='a b\\c'\n":                    `a b\c`,
		`PW="a \"b\" \\ \$x \n"` + "\n":    `a "b" \ $x \n`,
		"PW=\"abc\" # said so\n":           "abc",
		"PW=a#b c\n":                       "a#b c",
		"PW=a=b\n":                         "a=b",
		"PW=one\nPW=two\n":                 "two",
		"#PW=no\n\nXPW=no\nPW=yes\n":       "yes",
		"PW=" + `"'"`:                      "'",
		"exportPW=no\nPW=yes\nPW2=other\n": "yes",
	} {
		write(t, name, text, 0o600)
		got, err := get(t, &credentials.Chain{}, credential.Source{Kind: credential.File, Name: name, Key: "PW"})
		if err != nil || got != want {
			t.Errorf("%q: got %q, %v, want %q", text, got, err, want)
		}
	}
	for text, want := range map[string]string{
		"OTHER=" + password + "\n":         "there is no line PW=",
		"# PW=" + password + "\n":          "there is no line PW=",
		"exportPW=" + password + "\n":      "there is no line PW=",
		"\nPW='" + password + "\n":         "line 2: the closing quote is missing",
		"PW=\"" + password + "\\\"\n":      "line 1: the closing quote is missing",
		"PW='" + password + "'" + password: "line 1: something follows the closing quote",
		"PW=\n":                            "it is empty",
		"PW=''\n":                          "it is empty",
	} {
		write(t, name, text, 0o600)
		_, err := get(t, &credentials.Chain{}, credential.Source{Kind: credential.File, Name: name, Key: "PW"})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q in it", text, err, want)
		}
	}
}

func TestSystemd(t *testing.T) {
	dir := t.TempDir()
	write(t, dir+"/bw", password+"\n", 0o440) // an access control list makes it that
	write(t, dir+"/open", password, 0o444)
	pw := credential.Source{Kind: credential.Systemd, Name: "bw"}
	if got, err := get(t, &credentials.Chain{Directory: dir}, pw); err != nil || got != password {
		t.Errorf("got %q, %v", got, err)
	}
	if _, err := get(t, &credentials.Chain{}, pw); err == nil || !strings.Contains(err.Error(), "$CREDENTIALS_DIRECTORY is not set; put LoadCredentialEncrypted=bw into the unit") {
		t.Errorf("without a directory: %v", err)
	}
	none := t.TempDir()
	if _, err := get(t, &credentials.Chain{Directory: none}, pw); err == nil || !strings.Contains(err.Error(), "there is no such credential in "+none+": put LoadCredentialEncrypted=bw") {
		t.Errorf("without the file: %v", err)
	}
	if _, err := get(t, &credentials.Chain{Directory: dir}, credential.Source{Kind: credential.Systemd, Name: "open"}); err == nil {
		t.Error("a credential was read that everybody can read")
	}
}

// Whatever keeps a link from working, it is the backend that is locked by it.
func TestOtherLinks(t *testing.T) {
	var failed error
	c := &credentials.Chain{
		Secret: func(_ context.Context, path string) (*secret.Value, error) {
			if failed != nil {
				return nil, failed
			}
			return secret.From([]byte("from " + path + "\n"))
		},
	}
	other := credential.Source{Kind: credential.Secret, Name: "bw/password"}
	if got, err := get(t, c, other); err != nil || got != "from bw/password" {
		t.Errorf("got %q, %v", got, err)
	}
	for _, failed = range []error{backend.ErrNotFound, backend.ErrUnavailable, backend.ErrLocked, errors.New("disk")} {
		if _, err := get(t, c, other); err == nil || !strings.HasPrefix(err.Error(), "getting the password from secret bw/password: "+failed.Error()) {
			t.Errorf("%v: %v", failed, err)
		}
	}
	for _, kind := range []credential.Kind{credential.None, credential.Command, credential.Ask} {
		if _, err := get(t, c, credential.Source{Kind: kind, Argv: []string{"x"}}); err == nil {
			t.Errorf("kind %d: no error", kind)
		}
	}
}

func TestTime(t *testing.T) {
	c := &credentials.Chain{Secret: func(ctx context.Context, _ string) (*secret.Value, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	}}
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if _, err := c.Get(ctx, credential.Source{Kind: credential.Secret, Name: "x"}); !errors.Is(err, backend.ErrTimeout) || errors.Is(err, backend.ErrLocked) {
		t.Errorf("after the deadline: %v", err)
	}
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.Get(cancelled, credential.Source{Kind: credential.Secret, Name: "x"}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

// Credentials go when they are destroyed, and leave nothing.
func TestNothingStays(t *testing.T) {
	before := secret.Stats().Values
	TestLine(t)
	TestFile(t)
	if after := secret.Stats().Values; after != before {
		t.Errorf("%d secrets more than before", after-before)
	}
}
