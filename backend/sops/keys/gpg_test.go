package keys_test

import (
	"bytes"
	"crypto"
	"crypto/rsa"
	"crypto/sha1"
	"encoding/binary"
	"fmt"
	"math/big"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
	"golang.org/x/crypto/ssh"

	"github.com/secretfs/secretfs/backend"
	"github.com/secretfs/secretfs/backend/sops/keys"
	"github.com/secretfs/secretfs/backend/sops/keys/keystest"
)

// A gnupg is a GnuPG home whose agent ends with the test.
type gnupg struct {
	t    testing.TB
	home string
}

// newGnupg keeps the path short: gpg-agent's socket lies in it.
func newGnupg(t testing.TB) *gnupg {
	t.Helper()
	home, err := os.MkdirTemp("", "gpg")
	if err != nil {
		t.Fatal(err)
	}
	g := &gnupg{t, home}
	t.Cleanup(func() {
		g.killAgent()
		os.RemoveAll(home)
	})
	return g
}

func (g *gnupg) env() []string { return []string{"GNUPGHOME=" + g.home} }

func (g *gnupg) killAgent() {
	run(g.t, "gpgconf", "--homedir", g.home, "--kill", "all")
}

func (g *gnupg) gpg(stdin string, args ...string) string {
	g.t.Helper()
	cmd := exec.Command("gpg", append([]string{"--homedir", g.home, "--batch", "--quiet"}, args...)...)
	cmd.Stdin = strings.NewReader(stdin)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		g.t.Fatalf("gpg %q: %v: %s", args, err, stderr.Bytes())
	}
	return string(out)
}

// newKey makes a key for encryption and gives its fingerprint.
func (g *gnupg) newKey(passphrase string) string {
	g.t.Helper()
	g.gpg("", "--pinentry-mode", "loopback", "--passphrase", passphrase, "--quick-gen-key", "test <t@example.org>", "future-default")
	return g.fingerprint()
}

// fingerprint is that of the first key, as gpg itself computes it.
func (g *gnupg) fingerprint() string {
	g.t.Helper()
	for line := range strings.Lines(g.gpg("", "--with-colons", "--list-keys")) {
		if f := strings.Split(line, ":"); f[0] == "fpr" {
			return f[9]
		}
	}
	g.t.Fatal("gpg lists no key")
	return ""
}

func TestGnupgHome(t *testing.T) {
	t.Parallel()
	g, stranger := newGnupg(t), newGnupg(t)
	doc := keystest.Encrypt(t, "", g.env(), "--pgp", g.newKey(""))
	stranger.newKey("")
	ring := func(cfg keys.Config) *keys.Ring { return newRing(t, cfg, helpers()) }

	opens(t, ring(keys.Config{GnupgHome: g.home}), doc)
	opens(t, ring(keys.Config{GnupgHome: g.home, GnupgProgram: "/usr/bin/gpg"}), doc)

	refuses(t, ring(keys.Config{GnupgHome: stranger.home}), doc.Meta, backend.ErrLocked, "no secret key for it in the GnuPG home "+stranger.home)
	refuses(t, ring(keys.Config{GnupgHome: "/nonexistent"}), doc.Meta, backend.ErrLocked, "GnuPG home /nonexistent: no such file or directory")
	refuses(t, ring(keys.Config{GnupgHome: g.home, GnupgProgram: "/nonexistent/gpg"}), doc.Meta, backend.ErrLocked, "running gpg")
	refuses(t, ring(keys.Config{}), doc.Meta, backend.ErrLocked, "no identity is at hand for the recipient pgp")

	fields := doc.Meta.Groups[0][0].Fields
	enc := fields["enc"]
	fields["enc"] = "not armored"
	refuses(t, ring(keys.Config{GnupgHome: g.home}), doc.Meta, backend.ErrRejected, "damaged")
	fields["enc"] = g.gpg(strings.Repeat("x", 1<<20), "--armor", "--trust-model", "always", "--encrypt", "-r", fields["fp"])
	refuses(t, ring(keys.Config{GnupgHome: g.home}), doc.Meta, backend.ErrRejected)
	fields["enc"] = enc[:len(enc)/2] + "AAAA" + enc[len(enc)/2+4:]
	refuses(t, ring(keys.Config{GnupgHome: g.home}), doc.Meta, backend.ErrRejected)
}

func TestGnupgPassphrase(t *testing.T) {
	t.Parallel()
	g := newGnupg(t)
	doc := keystest.Encrypt(t, "", g.env(), "--pgp", g.newKey("hunter22"))
	ring := newRing(t, keys.Config{GnupgHome: g.home}, helpers())

	g.killAgent() // which knew the passphrase from making the key
	refuses(t, ring, doc.Meta, backend.ErrLocked, "protected by a passphrase that gpg-agent does not hold")

	g.gpg(doc.Meta.Groups[0][0].Fields["enc"], "--pinentry-mode", "loopback", "--passphrase", "hunter22", "--decrypt")
	opens(t, ring, doc)
}

// TestSSHKeyAsOpenPGP encrypts with sops and gpg to the OpenPGP form of an ssh
// key and opens that without gpg.
func TestSSHKeyAsOpenPGP(t *testing.T) {
	t.Parallel()
	path, _ := sshKey(t, "-t", "rsa", "-b", "2048")
	key := readRSA(t, path)
	g := newGnupg(t)
	g.gpg(string(publicOpenPGP(t, key)), "--import")
	fp := g.fingerprint()
	if want := fingerprintV4(key); fp != want {
		t.Fatalf("gpg says that the fingerprint is %s, expected %s", fp, want)
	}
	doc := keystest.Encrypt(t, "", g.env(), "--pgp", fp)

	opens(t, newRing(t, keys.Config{PGPSSHKeyFiles: []string{path}}, nil), doc)
	opens(t, newRing(t, keys.Config{KeyFiles: []string{path}}, nil), doc)

	hidden := doc.Meta.Groups[0][0].Fields
	enc := hidden["enc"]
	otherPath, _ := sshKey(t, "-t", "rsa", "-b", "2048")
	refuses(t, newRing(t, keys.Config{PGPSSHKeyFiles: []string{otherPath}}, nil), doc.Meta, backend.ErrLocked, "no identity matches the recipient pgp "+fp)
	hidden["enc"] = g.gpg(strings.Repeat("k", 32), "--armor", "--trust-model", "always", "--encrypt", "-R", fp)
	v, err := newRing(t, keys.Config{PGPSSHKeyFiles: []string{otherPath, path}}, nil).DataKey(testContext(t), doc.Meta)
	if err != nil || string(v.Bytes()) != strings.Repeat("k", 32) {
		t.Errorf("hidden recipient: %v", err)
	}
	v.Destroy()
	hidden["enc"] = enc[:len(enc)-200] + "AAAA" + enc[len(enc)-196:]
	refuses(t, newRing(t, keys.Config{PGPSSHKeyFiles: []string{path}}, nil), doc.Meta, backend.ErrRejected, "which is damaged")
}

func readRSA(t *testing.T, path string) *rsa.PrivateKey {
	t.Helper()
	pem, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := ssh.ParseRawPrivateKey(pem)
	if err != nil {
		t.Fatal(err)
	}
	return raw.(*rsa.PrivateKey)
}

// publicOpenPGP is what a person imports into gpg: the key with a user id, made
// at the beginning of 1970 as ssh-to-pgp does.
func publicOpenPGP(t *testing.T, key *rsa.PrivateKey) []byte {
	t.Helper()
	epoch := time.Unix(0, 0)
	e := &openpgp.Entity{
		PrimaryKey: packet.NewRSAPublicKey(epoch, &key.PublicKey),
		PrivateKey: packet.NewRSAPrivateKey(epoch, key),
		Identities: map[string]*openpgp.Identity{},
	}
	uid := packet.NewUserId("root", "", "root@localhost")
	sig := &packet.Signature{
		Version: 4, CreationTime: epoch, SigType: packet.SigTypePositiveCert, PubKeyAlgo: packet.PubKeyAlgoRSA, Hash: crypto.SHA256,
		FlagsValid: true, FlagCertify: true, FlagSign: true, FlagEncryptStorage: true, FlagEncryptCommunications: true,
		IssuerKeyId: &e.PrimaryKey.KeyId,
	}
	if err := sig.SignUserId(uid.Id, e.PrimaryKey, e.PrivateKey, nil); err != nil {
		t.Fatal(err)
	}
	e.Identities[uid.Id] = &openpgp.Identity{Name: uid.Id, UserId: uid, SelfSignature: sig, Signatures: []*packet.Signature{sig}}
	var b bytes.Buffer
	if err := e.Serialize(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// fingerprintV4 is computed by hand from RFC 9580, 5.5.4.2, with creation time 0.
func fingerprintV4(key *rsa.PrivateKey) string {
	mpi := func(n *big.Int) []byte {
		return append(binary.BigEndian.AppendUint16(nil, uint16(n.BitLen())), n.Bytes()...)
	}
	body := append([]byte{4, 0, 0, 0, 0, 1}, mpi(key.N)...)
	body = append(body, mpi(big.NewInt(int64(key.E)))...)
	return fmt.Sprintf("%X", sha1.Sum(append(binary.BigEndian.AppendUint16([]byte{0x99}, uint16(len(body))), body...)))
}
