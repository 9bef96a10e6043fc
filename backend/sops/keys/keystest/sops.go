// Package keystest encrypts documents with the real sops program, for the tests
// of what recovers their data keys.
package keystest

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"encoding/base64"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/secretfs/secretfs/backend/secret"
	"github.com/secretfs/secretfs/backend/sops/keys"
)

const plaintext = "correct horse battery staple"

// Tool is the path of a program of go.mod's tool section, which `go tool` builds
// once and keeps in the build cache.
func Tool(t testing.TB, name string) string {
	t.Helper()
	path, err := toolPath(name)
	if err != nil {
		t.Fatalf("building %s: %v", name, err)
	}
	return path
}

var tools sync.Map // name -> func() (string, error)

func toolPath(name string) (string, error) {
	once, _ := tools.LoadOrStore(name, sync.OnceValues(func() (string, error) {
		out, err := exec.Command("go", "tool", "-n", name).Output()
		return strings.TrimSpace(string(out)), err
	}))
	return once.(func() (string, error))()
}

// A Doc is a document that sops encrypted.
type Doc struct {
	Meta  keys.Metadata
	value string // ENC[…] of the plaintext at the key "token"
}

// Encrypt has sops encrypt a small JSON document. args are its options, env is
// added to an environment that leads to no keys of the machine. config is a
// .sops.yaml, none where empty.
func Encrypt(t testing.TB, config string, env []string, args ...string) *Doc {
	t.Helper()
	dir := t.TempDir()
	file, rules := filepath.Join(dir, "doc.json"), "/dev/null"
	write(t, file, `{"token": "`+plaintext+`"}`)
	if config != "" {
		rules = filepath.Join(dir, ".sops.yaml")
		write(t, rules, config)
	}
	args = slices.Concat([]string{"--disable-version-check", "--config", rules, "encrypt"}, args, []string{file})
	cmd := exec.Command(Tool(t, "sops"), args...)
	cmd.Env = append([]string{"HOME=" + dir, "PATH=" + os.Getenv("PATH")}, env...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("sops %q: %v: %s", args, err, stderr.Bytes())
	}
	return parse(t, out)
}

func write(t testing.TB, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func parse(t testing.TB, text []byte) *Doc {
	t.Helper()
	var file struct {
		Token string
		Sops  map[string]json.RawMessage
	}
	if err := json.Unmarshal(text, &file); err != nil {
		t.Fatal(err)
	}
	doc := &Doc{value: file.Token}
	groups := []map[string]json.RawMessage{file.Sops}
	if raw, ok := file.Sops["key_groups"]; ok {
		decode(t, raw, &groups)
		decode(t, file.Sops["shamir_threshold"], &doc.Meta.Threshold)
	}
	for _, sections := range groups {
		var g keys.Group
		for _, typ := range []keys.Type{keys.AWSKMS, keys.PGP, keys.GCPKMS, keys.AzureKV, keys.VaultTransit, keys.HuaweiKMS, keys.Age} {
			g = append(g, entries(t, typ, sections[string(typ)])...)
		}
		doc.Meta.Groups = append(doc.Meta.Groups, g)
	}
	return doc
}

func entries(t testing.TB, typ keys.Type, raw json.RawMessage) (g keys.Group) {
	t.Helper()
	if raw == nil {
		return nil
	}
	var list []map[string]any
	decode(t, raw, &list)
	for _, fields := range list {
		k := keys.MasterKey{Type: typ, Fields: map[string]string{}}
		for name, v := range fields {
			switch v := v.(type) {
			case string:
				k.Fields[name] = v
			case map[string]any:
				k.Context = map[string]string{}
				for n, v := range v {
					k.Context[n] = v.(string)
				}
			}
		}
		g = append(g, k)
	}
	return g
}

func decode(t testing.TB, raw json.RawMessage, into any) {
	t.Helper()
	if err := json.Unmarshal(raw, into); err != nil {
		t.Fatalf("%s: %v", raw, err)
	}
}

var encPattern = regexp.MustCompile(`^ENC\[AES256_GCM,data:(.*),iv:(.*),tag:(.*),type:str\]$`)

// Opens fails the test unless key decrypts what sops encrypted.
func (d *Doc) Opens(t testing.TB, key *secret.Value) {
	t.Helper()
	m := encPattern.FindStringSubmatch(d.value)
	if m == nil {
		t.Fatalf("not an encrypted value: %q", d.value)
	}
	var raw [3][]byte
	for i := range raw {
		b, err := base64.StdEncoding.DecodeString(m[i+1])
		if err != nil {
			t.Fatal(err)
		}
		raw[i] = b
	}
	block, err := aes.NewCipher(key.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	gcm, err := cipher.NewGCMWithNonceSize(block, len(raw[1]))
	if err != nil {
		t.Fatal(err)
	}
	got, err := gcm.Open(nil, raw[1], append(raw[0], raw[2]...), []byte("token:"))
	if err != nil || string(got) != plaintext {
		t.Fatalf("the data key does not open the document: %v", err)
	}
}
