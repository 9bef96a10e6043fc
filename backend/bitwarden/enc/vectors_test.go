package enc

import (
	"encoding/hex"
	"encoding/json"
	"os"
	"testing"

	"github.com/secretfs/secretfs/backend/secret"
)

// vectors were made with Bitwarden's own library by testdata/make.cjs.
type vectors struct {
	Symmetric []struct {
		Name, Plain, Sealed string
		Key                 []byte
	}
	Wrapped []struct {
		Name, Sealed string
		Key, Plain   []byte
	}
	Accounts []struct {
		Name, Sealed string
		Master, Key  []byte
	}
	RSA []struct {
		Wrapped, Sealed string
		Key, Plain      []byte
	}
	Files []struct {
		Name               string
		Key, Plain, Sealed []byte
	}
}

func load(t *testing.T) (v vectors) {
	b, err := os.ReadFile("testdata/vectors.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, &v); err != nil {
		t.Fatal(err)
	}
	return v
}

// value copies b into locked memory for the time of the test.
func value(t *testing.T, b []byte) *secret.Value {
	t.Helper()
	v, err := secret.From(append([]byte(nil), b...))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(v.Destroy)
	return v
}

func key(t *testing.T, b []byte) *Key {
	t.Helper()
	k, err := NewKey(value(t, b))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func parse(t *testing.T, text string) String {
	t.Helper()
	s, err := Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// opened wants plain of something that was decrypted.
func opened(t *testing.T, v *secret.Value, err error, plain []byte) {
	t.Helper()
	if err != nil {
		t.Error(err)
		return
	}
	defer v.Destroy()
	if string(v.Bytes()) != string(plain) {
		t.Errorf("%d bytes, which differ from the %d expected", v.Len(), len(plain))
	}
}

func TestStrings(t *testing.T) {
	for _, c := range load(t).Symmetric {
		t.Run(c.Name, func(t *testing.T) {
			v, err := key(t, c.Key).Open(parse(t, c.Sealed))
			opened(t, v, err, []byte(c.Plain))
		})
	}
}

func TestWrappedKeys(t *testing.T) {
	for _, c := range load(t).Wrapped {
		t.Run(c.Name, func(t *testing.T) {
			k, err := key(t, c.Key).OpenKey(parse(t, c.Sealed))
			if err != nil {
				t.Fatal(err)
			}
			opened(t, k.Encoded().Share(), nil, c.Plain)
			k.Destroy()
		})
	}
}

func TestAccountKeys(t *testing.T) {
	for _, c := range load(t).Accounts {
		t.Run(c.Name, func(t *testing.T) {
			k, err := OpenAccountKey(value(t, c.Master), parse(t, c.Sealed))
			if err != nil {
				t.Fatal(err)
			}
			opened(t, k.Encoded().Share(), nil, c.Key)
			k.Destroy()
		})
	}
}

func TestOrganizationKeys(t *testing.T) {
	for _, c := range load(t).RSA {
		der, err := key(t, c.Key).Open(parse(t, c.Wrapped))
		if err != nil {
			t.Fatal(err)
		}
		defer der.Destroy()
		private, err := NewPrivateKey(der)
		if err != nil {
			t.Fatal(err)
		}
		k, err := private.OpenKey(parse(t, c.Sealed))
		if err != nil {
			t.Fatal(err)
		}
		opened(t, k.Encoded().Share(), nil, c.Plain)
		k.Destroy()
	}
}

func TestFiles(t *testing.T) {
	for _, c := range load(t).Files {
		t.Run(c.Name, func(t *testing.T) {
			s, err := ParseBinary(c.Sealed)
			if err != nil {
				t.Fatal(err)
			}
			v, err := key(t, c.Key).Open(s)
			opened(t, v, err, c.Plain)
		})
	}
}

// The vectors of c2sp.org/XAES-256-GCM.
func TestXAES(t *testing.T) {
	for _, c := range []struct {
		fill       byte
		ad, sealed string
	}{
		{1, "", "ce546ef63c9cc60765923609b33a9a1974e96e52daf2fcf7075e2271"},
		{3, "c2sp.org/XAES-256-GCM", "986ec1832593df5443a179437fd083bf3fdb41abd740a21f71eb769d"},
	} {
		raw := make([]byte, 32)
		for i := range raw {
			raw[i] = c.fill
		}
		aead, err := newXAES(raw)
		if err != nil {
			t.Fatal(err)
		}
		nonce, plain := []byte("ABCDEFGHIJKLMNOPQRSTUVWX"), []byte("XAES-256-GCM")
		sealed := aead.Seal(nil, nonce, plain, []byte(c.ad))
		if hex.EncodeToString(sealed) != c.sealed {
			t.Errorf("sealed with key %d: %x", c.fill, sealed)
		}
		if b, err := aead.Open(nil, nonce, sealed, []byte(c.ad)); err != nil || string(b) != string(plain) {
			t.Errorf("opened with key %d: %q, %v", c.fill, b, err)
		}
	}
}
