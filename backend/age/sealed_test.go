package age

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"

	"filippo.io/age"
	"filippo.io/age/armor"

	"github.com/secretfs/secretfs/backend"
	"github.com/secretfs/secretfs/backend/agefile"
	"github.com/secretfs/secretfs/backend/secret"
)

// FuzzParse: what is taken for an age file has the length that it says, and opens
// if and only if age itself opens it, to the same plaintext.
func FuzzParse(f *testing.F) {
	id, err := age.ParseX25519Identity("AGE-SECRET-KEY-1GFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPQ4EGAEX")
	if err != nil {
		f.Fatal(err)
	}
	for _, n := range []int{0, 10, agefile.ChunkLen, agefile.ChunkLen + 1} {
		var file, text bytes.Buffer
		a := armor.NewWriter(&text)
		w, err := age.Encrypt(io.MultiWriter(&file, a), id.Recipient())
		if err != nil {
			f.Fatal(err)
		}
		if _, err := io.WriteString(w, strings.Repeat("s", n)); err != nil {
			f.Fatal(err)
		}
		if err := errors.Join(w.Close(), a.Close()); err != nil {
			f.Fatal(err)
		}
		f.Add(file.Bytes())
		f.Add(text.Bytes())
		f.Add(file.Bytes()[:file.Len()-1])
	}
	f.Add([]byte("age-encryption.org/v1\n-> scrypt a 1\n\n--- \n"))
	f.Fuzz(func(t *testing.T, file []byte) {
		s, err := parse(file)
		if err != nil {
			if !errors.Is(err, backend.ErrCorrupt) && !errors.Is(err, backend.ErrUnsupported) {
				t.Error(err)
			}
			if s != nil {
				t.Error("a file came with the error")
			}
		}
		got, gotErr := openWith(s, id)
		want, wantErr := oracle(file, id)
		switch {
		case gotErr == nil && wantErr != nil:
			t.Errorf("opens %d bytes, age says %v", len(got), wantErr)
		case gotErr != nil && wantErr == nil:
			t.Errorf("does not open: %v, %v; age does", err, gotErr)
		case !bytes.Equal(got, want):
			t.Error("opens something else than age")
		}
	})
}

func openWith(s *sealed, id age.Identity) ([]byte, error) {
	if s == nil {
		return nil, errors.New("not parsed")
	}
	key, err := age.DecryptHeader(s.header, id)
	if err != nil {
		return nil, err
	}
	fileKey, err := secret.From(key)
	if err != nil {
		return nil, err
	}
	defer fileKey.Destroy()
	v, err := s.open(fileKey)
	if err != nil {
		return nil, err
	}
	defer v.Destroy()
	if int64(v.Len()) != s.size {
		return nil, errors.New("another size than announced")
	}
	return bytes.Clone(v.Bytes()), nil
}

// oracle is age's own way.
func oracle(file []byte, id age.Identity) ([]byte, error) {
	var in io.Reader = bytes.NewReader(file)
	if bytes.HasPrefix(bytes.TrimLeft(file, " \t\r\n"), []byte("-----BEGIN")) {
		in = armor.NewReader(in)
	}
	r, err := age.Decrypt(in, id)
	if err != nil {
		return nil, err
	}
	plain, err := io.ReadAll(r)
	if err != nil {
		return nil, err
	}
	return plain, nil
}
