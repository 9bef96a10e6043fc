package enc

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/base64"
	"errors"
	"runtime"
	"strings"
	"testing"

	"github.com/secretfs/secretfs/backend"
	"github.com/secretfs/secretfs/backend/secret"
)

func TestEveryChangedBitIsNoticed(t *testing.T) {
	for _, c := range load(t).Files { // the binary form has no spare bits
		k := key(t, c.Key)
		for i := range c.Sealed {
			b := append([]byte(nil), c.Sealed...)
			b[i] ^= 1 << (i % 8)
			s, err := ParseBinary(b)
			var v *secret.Value
			if err == nil {
				v, err = k.Open(s)
			}
			if err == nil {
				v.Destroy()
				t.Errorf("%s: byte %d of %d changed, and it opened", c.Name, i, len(b))
			} else if !errors.Is(err, backend.ErrCorrupt) && !errors.Is(err, backend.ErrUnsupported) {
				t.Errorf("%s: byte %d changed: %v", c.Name, i, err)
			}
		}
		for n := range c.Sealed {
			if s, err := ParseBinary(c.Sealed[:n]); err == nil {
				if v, err := k.Open(s); err == nil {
					v.Destroy()
					t.Errorf("%s: cut to %d bytes, and it opened", c.Name, n)
				}
			}
		}
	}
}

func TestAnotherKey(t *testing.T) {
	all := load(t).Symmetric
	for _, c := range all {
		for _, other := range all {
			if other.Name == c.Name {
				continue
			}
			if v, err := key(t, other.Key).Open(parse(t, c.Sealed)); err == nil {
				v.Destroy()
				t.Errorf("%s opened with the key of %s", c.Name, other.Name)
			} else if !errors.Is(err, backend.ErrCorrupt) {
				t.Errorf("%s with the key of %s: %v", c.Name, other.Name, err)
			}
		}
	}
}

func TestNoMACIsForOldAccountsOnly(t *testing.T) {
	master := []byte("0123456789abcdef0123456789abcdef")
	account := strings.Repeat("k", 64)
	sealed := sealCBC(t, master, account)
	k, err := OpenAccountKey(value(t, master), parse(t, sealed))
	if err != nil {
		t.Fatal(err)
	}
	opened(t, k.Encoded().Share(), nil, []byte(account))
	defer k.Destroy()
	if v, err := k.Open(parse(t, sealCBC(t, []byte(account[:32]), "forged"))); !errors.Is(err, backend.ErrUnsupported) {
		v.Destroy()
		t.Errorf("a string without a MAC: %v", err)
	}
}

// sealCBC encrypts as clients did before there was a MAC.
func sealCBC(t *testing.T, key []byte, plain string) string {
	block, err := aes.NewCipher(key)
	if err != nil {
		t.Fatal(err)
	}
	pad := 16 - len(plain)%16
	b := []byte(plain + strings.Repeat(string(rune(pad)), pad))
	iv := []byte("an IV of 16 byte")
	cipher.NewCBCEncrypter(block, iv).CryptBlocks(b, b)
	return "0." + base64.StdEncoding.EncodeToString(iv) + "|" + base64.StdEncoding.EncodeToString(b)
}

func TestWhatIsNotAString(t *testing.T) {
	for text, want := range map[string]error{
		"":                              backend.ErrCorrupt,
		"2":                             backend.ErrCorrupt,
		"plain text":                    backend.ErrCorrupt,
		"2.AAAA|AAAA":                   backend.ErrCorrupt,
		"2.AAAA|AAAA|AAAA|AAAA":         backend.ErrCorrupt,
		"2.!|!|!":                       backend.ErrCorrupt,
		"22.AAAA":                       backend.ErrCorrupt,
		"1.AAAA|AAAA|AAAA":              backend.ErrUnsupported,
		"9.AAAA":                        backend.ErrUnsupported,
		"2.AAAAAAAAAAAAAAAAAAAAAA==||x": backend.ErrCorrupt,
	} {
		if _, err := Parse(text); !errors.Is(err, want) {
			t.Errorf("%q: %v, want %v", text, err, want)
		}
	}
}

func TestWhatIsNotAKey(t *testing.T) {
	for _, n := range []int{0, 16, 31, 33, 63, 65, 80} {
		if k, err := NewKey(value(t, make([]byte, n))); !errors.Is(err, backend.ErrCorrupt) {
			k.Destroy()
			t.Errorf("a key of %d bytes: %v", n, err)
		}
	}
}

func TestSealedStringOpens(t *testing.T) {
	for _, c := range load(t).Wrapped {
		k, err := key(t, c.Key).Derive("a test")
		if err != nil {
			t.Fatal(err)
		}
		defer k.Destroy()
		text, err := k.Seal([]byte("what we keep"))
		if err != nil {
			t.Fatal(err)
		}
		v, err := k.Open(parse(t, text))
		opened(t, v, err, []byte("what we keep"))
	}
}

func TestNothingIsLeft(t *testing.T) {
	runtime.GC()
	before := secret.Stats()
	for _, c := range load(t).Symmetric {
		v, _ := secret.From(append([]byte(nil), c.Key...))
		k, err := NewKey(v)
		if err != nil {
			t.Fatal(err)
		}
		shared := k.Share()
		k.Destroy()
		p, err := shared.Open(parse(t, c.Sealed))
		opened(t, p, err, []byte(c.Plain))
		shared.Destroy()
		if _, err := shared.Open(parse(t, c.Sealed)); !errors.Is(err, backend.ErrLocked) {
			t.Errorf("a destroyed key: %v", err)
		}
	}
	if after := secret.Stats(); after.Values != before.Values || after.Leaked != before.Leaked {
		t.Errorf("left in locked memory: %+v before, %+v after", before, after)
	}
}

// FuzzCOSE looks for panics, and for anything forged that opens.
func FuzzCOSE(f *testing.F) {
	raw := strings.Repeat("k", 32)
	cose := "\xa3\x01\x04\x03\x3a\x00\x01\x11\x79\x20\x58\x20" + raw
	pad := 65 - len(cose)
	v, err := secret.From([]byte(cose + strings.Repeat(string(rune(pad)), pad)))
	if err != nil {
		f.Fatal(err)
	}
	k, err := NewKey(v)
	if err != nil {
		f.Fatal(err)
	}
	f.Add([]byte("\x83\x47\xa1\x01\x3a\x00\x01\x11\x79\xa1\x05\x58\x18ABCDEFGHIJKLMNOPQRSTUVWX\x50ABCDEFGHIJKLMNOP"))
	f.Add([]byte("\x83\x40\xbb\xff\xff\xff\xff\xff\xff\xff\xff"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if v, err := k.Open(String{Type: COSE, Data: b, set: true}); err == nil {
			v.Destroy()
			t.Error("it opened, though nobody has sealed it")
		}
	})
}
