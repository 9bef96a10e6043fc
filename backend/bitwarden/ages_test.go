package bitwarden_test

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/pbkdf2"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"os"
	"strings"
	"testing"
)

// Accounts of the second version have COSE keys. The texts were sealed by
// Bitwarden's own library (enc/testdata/make.cjs).
func TestNewerAccounts(t *testing.T) {
	b, err := os.ReadFile("enc/testdata/vectors.json")
	if err != nil {
		t.Fatal(err)
	}
	var vectors struct {
		Symmetric []struct {
			Name, Plain, Sealed string
			Key                 []byte
		}
	}
	if err := json.Unmarshal(b, &vectors); err != nil {
		t.Fatal(err)
	}
	seen := 0
	for _, c := range vectors.Symmetric {
		if !strings.HasPrefix(c.Name, "cose-") || c.Plain != "pa55word of a vector" {
			continue
		}
		seen++
		t.Run(c.Name, func(t *testing.T) {
			w := newWorld(t)
			w.account = w.server.RegisterWith(t, "new@example.test", password, quick, c.Key)
			w.byKey()
			w.set("client_secret", w.account.ClientSecret)
			w.server.Add(w.account, map[string]any{"type": 1, "name": c.Sealed, "login": map[string]any{"password": c.Sealed}})
			for range 2 { // the second worker has the key from the first
				b := w.open()
				want(t, b, "item:"+c.Plain, c.Plain)
				b.Close()
			}
			w.logins(1)
		})
	}
	if seen != 2 {
		t.Errorf("%d kinds of key", seen)
	}
}

// The key of a very old account is encrypted with the master key as it is, and
// has no MAC.
func TestVeryOldAccount(t *testing.T) {
	w := newWorld(t)
	master, err := pbkdf2.Key(sha256.New, password, []byte("me@example.test"), quick.Iterations, 32)
	if err != nil {
		t.Fatal(err)
	}
	block, err := aes.NewCipher(master)
	if err != nil {
		t.Fatal(err)
	}
	iv := make([]byte, 16)
	sealed := append(append([]byte(nil), w.user...), []byte(strings.Repeat("\x10", 16))...)
	cipher.NewCBCEncrypter(block, iv).CryptBlocks(sealed, sealed)
	w.account.WrappedKey = "0." + base64.StdEncoding.EncodeToString(iv) + "|" + base64.StdEncoding.EncodeToString(sealed)
	w.add("db", plain)
	want(t, w.open(), "item:db", plain)
}
