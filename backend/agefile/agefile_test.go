package agefile_test

import (
	"bytes"
	"errors"
	"io"
	"testing"

	"filippo.io/age"

	"github.com/secretfs/secretfs/backend/agefile"
	"github.com/secretfs/secretfs/backend/secret"
)

// TestEncrypt has the age library decrypt what Encrypt makes.
func TestEncrypt(t *testing.T) {
	x, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	pq, err := age.GenerateHybridIdentity()
	if err != nil {
		t.Fatal(err)
	}
	other, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range []int{0, 1, agefile.ChunkLen - 1, agefile.ChunkLen, agefile.ChunkLen + 1, 3 * agefile.ChunkLen} {
		plain := bytes.Repeat([]byte("0123456789abcdef"), n/16+1)[:n]
		for name, to := range map[string]struct {
			recipients []age.Recipient
			opens      age.Identity
		}{
			"x25519": {[]age.Recipient{x.Recipient()}, x}, "hybrid": {[]age.Recipient{pq.Recipient()}, pq},
			"two": {[]age.Recipient{other.Recipient(), x.Recipient()}, x},
		} {
			file, err := agefile.Encrypt(plain, to.recipients...)
			if err != nil {
				t.Fatal(err)
			}
			r, err := age.Decrypt(bytes.NewReader(file), to.opens)
			if err != nil {
				t.Fatal(err)
			}
			if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, plain) {
				t.Errorf("%s, %d bytes: age reads %d, %v", name, n, len(got), err)
			}
			if got, err := open(t, file, to.opens); err != nil || !bytes.Equal(got, plain) {
				t.Errorf("%s, %d bytes: we read %d, %v", name, n, len(got), err)
			}
		}
	}
	if _, err := agefile.Encrypt(nil, x.Recipient(), pq.Recipient()); err == nil {
		t.Error("a recipient that quantum computers could open was mixed with one that they cannot")
	}
	if _, err := agefile.Encrypt(nil); err == nil {
		t.Error("encrypted to nobody")
	}
}

func open(t *testing.T, file []byte, id age.Identity) ([]byte, error) {
	t.Helper()
	header, nonce, payload, ok := agefile.Split(file)
	if !ok {
		return nil, errors.New("no age file")
	}
	key, err := age.DecryptHeader(header, id)
	if err != nil {
		return nil, err
	}
	fileKey, err := secret.From(key)
	if err != nil {
		t.Fatal(err)
	}
	defer fileKey.Destroy()
	v, err := agefile.OpenPayload(fileKey, nonce, payload)
	if err != nil {
		return nil, err
	}
	defer v.Destroy()
	return bytes.Clone(v.Bytes()), nil
}

func TestDamaged(t *testing.T) {
	id, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	file, err := agefile.Encrypt(bytes.Repeat([]byte("x"), agefile.ChunkLen+10), id.Recipient())
	if err != nil {
		t.Fatal(err)
	}
	before := secret.Stats()
	for i := 0; i < len(file); i += 1 + i/50 {
		broken := bytes.Clone(file)
		broken[i] ^= 1
		if _, err := open(t, broken, id); err == nil {
			t.Errorf("byte %d was changed unnoticed", i)
		}
		if _, err := open(t, file[:i], id); err == nil {
			t.Errorf("cut after %d bytes unnoticed", i)
		}
	}
	if _, err := open(t, append(bytes.Clone(file), 0), id); err == nil {
		t.Error("a byte more was not noticed")
	}
	if after := secret.Stats(); after.Values > before.Values {
		t.Errorf("%d secrets are left", after.Values-before.Values)
	}
}
