package keys_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/secretfs/secretfs/backend"
	"github.com/secretfs/secretfs/backend/sops/keys"
	"github.com/secretfs/secretfs/backend/sops/keys/keystest"
)

func TestNativeIdentities(t *testing.T) {
	t.Parallel()
	x, xRecipient := ageKey(t)
	pq, pqRecipient := ageKey(t, "-pq")
	other, _ := ageKey(t)
	ed, edPublic := sshKey(t, "-t", "ed25519")
	rsa, rsaPublic := sshKey(t, "-t", "rsa", "-b", "2048")
	pem, pemPublic := sshKey(t, "-t", "rsa", "-b", "2048", "-m", "PEM")
	otherFile := write(t, other)

	for name, tt := range map[string]struct {
		recipient string
		cfg       keys.Config
	}{
		"x25519":          {xRecipient, keys.Config{KeyFiles: []string{write(t, x)}}},
		"second file":     {xRecipient, keys.Config{AgeKeyFiles: []string{otherFile, write(t, x)}}},
		"second in file":  {xRecipient, keys.Config{AgeKeyFiles: []string{write(t, other+"\n\n# mine\n"+x)}}},
		"CRLF":            {xRecipient, keys.Config{AgeKeyFiles: []string{write(t, strings.ReplaceAll(other+x, "\n", "\r\n"))}}},
		"BOM":             {xRecipient, keys.Config{AgeKeyFiles: []string{write(t, "\ufeff"+strings.TrimSpace(x))}}},
		"post-quantum":    {pqRecipient, keys.Config{KeyFiles: []string{otherFile, write(t, pq)}}},
		"ssh-ed25519":     {edPublic, keys.Config{SSHKeyFiles: []string{rsa, ed}}},
		"ssh-rsa":         {rsaPublic, keys.Config{SSHKeyFiles: []string{ed, rsa}}},
		"ssh-rsa in PEM":  {pemPublic, keys.Config{SSHKeyFiles: []string{pem}}},
		"mixed":           {edPublic, keys.Config{KeyFiles: []string{otherFile, rsa, ed, "/nonexistent"}}},
		"second of group": {xRecipient + "," + edPublic, keys.Config{KeyFiles: []string{ed}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			opens(t, newRing(t, tt.cfg, nil), keystest.Encrypt(t, "", nil, "--age", tt.recipient))
		})
	}
}

func TestShamirGroups(t *testing.T) {
	t.Parallel()
	var files, config []string
	for range 3 {
		text, recipient := ageKey(t)
		files = append(files, write(t, text))
		config = append(config, "      - age: ["+recipient+"]\n")
	}
	rules := "creation_rules:\n  - key_groups:\n" + strings.Join(config, "")
	two := keystest.Encrypt(t, strings.Replace(rules, "  - key_groups", "  - shamir_threshold: 2\n    key_groups", 1), nil)
	all := keystest.Encrypt(t, rules, nil)
	ring := func(files ...string) *keys.Ring { return newRing(t, keys.Config{KeyFiles: files}, nil) }

	opens(t, ring(files[0], files[1]), two)
	opens(t, ring(files[2], files[0]), two)
	opens(t, ring(files...), two)
	opens(t, ring(files...), all)
	refuses(t, ring(files[1]), two.Meta, backend.ErrLocked, "opened 1 of the 2 key groups needed", "no identity matches")
	refuses(t, ring(files[0], files[1]), all.Meta, backend.ErrLocked, "opened 2 of the 3 key groups needed")

	all.Meta.Threshold = 0 // all groups, where the file does not say
	opens(t, ring(files...), all)
	all.Meta.Threshold = 4
	refuses(t, ring(files...), all.Meta, backend.ErrCorrupt, "shamir_threshold is 4")
	two.Meta.Groups[1] = two.Meta.Groups[0]
	refuses(t, ring(files...), two.Meta, backend.ErrCorrupt, "do not fit together")
	refuses(t, ring(files...), keys.Metadata{}, backend.ErrCorrupt, "names no master key")
}

func TestWrongAndMissingKeys(t *testing.T) {
	t.Parallel()
	mine, recipient := ageKey(t)
	other, otherRecipient := ageKey(t)
	doc := keystest.Encrypt(t, "", nil, "--age", recipient+","+otherRecipient)
	one := keystest.Encrypt(t, "", nil, "--age", recipient)
	dir := t.TempDir()

	refuses(t, newRing(t, keys.Config{}, nil), one.Meta, backend.ErrLocked, "no identity is at hand for the recipient "+recipient)
	third, _ := ageKey(t)
	refuses(t, newRing(t, keys.Config{KeyFiles: []string{write(t, third)}}, nil), doc.Meta, backend.ErrLocked,
		"no identity matches any of the 2 recipients: "+recipient+", "+otherRecipient)
	refuses(t, newRing(t, keys.Config{KeyFiles: []string{dir + "/none", dir, write(t, other)}}, nil), one.Meta, backend.ErrLocked,
		"no identity matches", dir+"/none: no such file or directory", dir+": not a regular file")

	// The entry of our own recipient, exchanged for another's and damaged.
	swapped := keystest.Encrypt(t, "", nil, "--age", otherRecipient).Meta
	swapped.Groups[0][0].Fields["recipient"] = recipient
	ring := newRing(t, keys.Config{KeyFiles: []string{write(t, mine)}}, nil)
	refuses(t, ring, swapped, backend.ErrRejected, "is the key for "+recipient, "key:3")
	one.Meta.Groups[0][0].Fields["enc"] = strings.Replace(one.Meta.Groups[0][0].Fields["enc"], "\n", "\nAAAA", 1)
	refuses(t, ring, one.Meta, backend.ErrRejected, "is the key for "+recipient)
}

func TestBadKeyFiles(t *testing.T) {
	t.Parallel()
	good, recipient := ageKey(t)
	secretLine := strings.Fields(good)[len(strings.Fields(good))-1]
	locked := filepath.Join(t.TempDir(), "id")
	run(t, "ssh-keygen", "-q", "-t", "ed25519", "-N", "hunter22", "-f", locked)
	ecdsa, _ := sshKey(t, "-t", "ecdsa")
	doc := keystest.Encrypt(t, "", nil, "--age", recipient)

	for name, tt := range map[string]struct{ path, want string }{
		"garbage":       {write(t, "# x\n\nhello\n"), "key:3: not an age identity"},
		"cut off":       {write(t, secretLine[:40]), "key:1: malformed age identity"},
		"typo":          {write(t, "\n"+secretLine[:30]+"b"+secretLine[31:]), "key:2: malformed age identity"},
		"public":        {write(t, recipient), "key:1: a public key, expected the private one"},
		"empty":         {write(t, "# nothing\n"), "key: holds no identity"},
		"age-encrypted": {write(t, doc.Meta.Groups[0][0].Fields["enc"]), "itself encrypted with age"},
		"passphrase":    {locked, "protected by a passphrase"},
		"ecdsa":         {ecdsa, "expected ed25519 or rsa"},
		"broken pem":    {write(t, "-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END OPENSSH PRIVATE KEY-----\n"), "malformed ssh private key"},
		"openpgp":       {write(t, "-----BEGIN PGP PRIVATE KEY BLOCK-----\n"), "import it into the GnuPG home"},
		"putty":         {write(t, "PuTTY-User-Key-File-3: ssh-ed25519\n"), "puttygen"},
		"plugin":        {write(t, "AGE-PLUGIN-X\n"), "key:1: malformed age plugin identity"},
		"huge":          {write(t, strings.Repeat("#\n", 1<<20)), "expected at most 1048576"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			refuses(t, newRing(t, keys.Config{KeyFiles: []string{tt.path}}, nil), doc.Meta, backend.ErrLocked, tt.path[:len(tt.path)-len(filepath.Base(tt.path))], tt.want)
			opens(t, newRing(t, keys.Config{KeyFiles: []string{tt.path, write(t, good)}}, nil), doc)
		})
	}

	t.Run("bad line among good ones", func(t *testing.T) {
		opens(t, newRing(t, keys.Config{KeyFiles: []string{write(t, "oops\n"+good+"oops\n")}}, nil), doc)
	})
	t.Run("no secret in the sentence", func(t *testing.T) {
		_, err := newRing(t, keys.Config{KeyFiles: []string{write(t, secretLine+"x")}}, nil).DataKey(testContext(t), doc.Meta)
		if err == nil || strings.Contains(err.Error(), secretLine[20:40]) {
			t.Fatalf("got the error %v, expected one without the key", err)
		}
	})
}

func TestKeyFileChanges(t *testing.T) {
	t.Parallel()
	mine, recipient := ageKey(t)
	other, _ := ageKey(t)
	doc := keystest.Encrypt(t, "", nil, "--age", recipient)
	path := filepath.Join(t.TempDir(), "key")
	ring := newRing(t, keys.Config{KeyFiles: []string{path}, GnupgHome: t.TempDir()}, nil)
	replace := func(text string) {
		t.Helper()
		if err := os.WriteFile(path+".new", []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(path+".new", path); err != nil {
			t.Fatal(err)
		}
	}
	refuses(t, ring, doc.Meta, backend.ErrLocked, "no such file")
	replace(mine)
	opens(t, ring, doc)
	replace(other)
	refuses(t, ring, doc.Meta, backend.ErrLocked, "no identity matches")
	replace(mine)
	opens(t, ring, doc)
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	refuses(t, ring, doc.Meta, backend.ErrLocked, "no such file")

	if got := ring.Sources(); len(got) != 4 {
		t.Errorf("Sources() = %q, expected the key file and three of the GnuPG home", got)
	}
	ring.Close()
	if _, err := ring.DataKey(testContext(t), doc.Meta); err == nil {
		t.Error("DataKey after Close gave a key")
	}
}
