package kdf

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/secretfs/secretfs/backend"
	"github.com/secretfs/secretfs/backend/helper"
	"github.com/secretfs/secretfs/backend/secret"
)

// inProcess serves in this process what a helper would.
func inProcess(ctx context.Context, call backend.HelperCall) (net.Conn, error) {
	ours, theirs := net.Pipe()
	go helper.Answer(theirs, Solve)
	return ours, nil
}

func value(t *testing.T, s string) *secret.Value {
	v, err := secret.From([]byte(s))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(v.Destroy)
	return v
}

// The vectors are those of package enc, made with Bitwarden's own library.
func TestDerive(t *testing.T) {
	b, err := os.ReadFile("../enc/testdata/vectors.json")
	if err != nil {
		t.Fatal(err)
	}
	var vectors struct {
		Accounts []struct {
			Name, Email, Password string
			Master                []byte
			KDF                   struct {
				PBKDF2   *struct{ Iterations int }
				Argon2id *struct{ Iterations, Memory, Parallelism int }
			}
		}
	}
	if err := json.Unmarshal(b, &vectors); err != nil {
		t.Fatal(err)
	}
	seen := map[int]bool{}
	for _, a := range vectors.Accounts {
		p := Params{}
		if a.KDF.PBKDF2 != nil {
			p = Params{Type: PBKDF2, Iterations: a.KDF.PBKDF2.Iterations}
		} else {
			p = Params{Argon2id, a.KDF.Argon2id.Iterations, a.KDF.Argon2id.Memory, a.KDF.Argon2id.Parallelism}
		}
		if seen[p.Type] {
			continue
		}
		seen[p.Type] = true
		t.Run(a.Name, func(t *testing.T) {
			master, err := Derive(t.Context(), inProcess, p, a.Email, value(t, a.Password))
			if err != nil {
				t.Fatal(err)
			}
			defer master.Destroy()
			if string(master.Bytes()) != string(a.Master) {
				t.Error("another master key than Bitwarden's library derives")
			}
		})
	}
	if len(seen) != 2 {
		t.Errorf("%d functions tested", len(seen))
	}
}

func TestHash(t *testing.T) {
	master := value(t, strings.Repeat("m", 32))
	h, err := Hash(master, value(t, "correct horse"))
	if err != nil {
		t.Fatal(err)
	}
	defer h.Destroy()
	// openssl kdf -keylen 32 -kdfopt digest:SHA256 -kdfopt pass:mmm… -kdfopt salt:'correct horse' -kdfopt iter:1 PBKDF2
	want := "cC4yOAVD2Vm1tL1ab+fmyuBlL2Ubqzs+Yu95CdlkoTg="
	if got := string(h.Bytes()); got != want {
		t.Errorf("hash %s", got)
	}
	if b, err := base64.StdEncoding.DecodeString(string(h.Bytes())); err != nil || len(b) != 32 {
		t.Errorf("%d bytes, %v", len(b), err)
	}
}

func TestBounds(t *testing.T) {
	for _, c := range []struct {
		p    Params
		says string
	}{
		{Params{Type: PBKDF2, Iterations: 600000}, ""},
		{Params{Type: PBKDF2, Iterations: 4999}, "4999 iterations"},
		{Params{Type: PBKDF2, Iterations: 1 << 40}, "iterations"},
		{Params{Argon2id, 3, 64, 4}, ""},
		{Params{Argon2id, 3, 1024, 4}, "kdf_memory allows 512"},
		{Params{Argon2id, 1, 64, 4}, "out of bounds"},
		{Params{Argon2id, 3, 15, 4}, "out of bounds"},
		{Params{Argon2id, 3, 64, 0}, "out of bounds"},
		{Params{Argon2id, 3, 64, 256}, "out of bounds"},
		{Params{Type: 7}, "not known"},
	} {
		err := c.p.Check(512)
		if c.says == "" && err != nil {
			t.Errorf("%+v: %v", c.p, err)
		}
		if c.says != "" && (!errors.Is(err, backend.ErrUnsupported) || !strings.Contains(err.Error(), c.says)) {
			t.Errorf("%+v: %v, want %q", c.p, err, c.says)
		}
	}
}

func TestOneAtATime(t *testing.T) {
	var running, most atomic.Int32
	run := func(ctx context.Context, call backend.HelperCall) (net.Conn, error) {
		if n := running.Add(1); n > most.Load() {
			most.Store(n)
		}
		defer running.Add(-1)
		time.Sleep(10 * time.Millisecond)
		return nil, errors.New("there is none")
	}
	done := make(chan error, 4)
	for range cap(done) {
		go func() {
			_, err := Derive(t.Context(), run, Params{}, "", value(t, "x"))
			done <- err
		}()
	}
	for range cap(done) {
		if err := <-done; !errors.Is(err, backend.ErrUnavailable) || !strings.Contains(err.Error(), "there is none") {
			t.Error(err)
		}
	}
	if most.Load() != 1 {
		t.Errorf("%d at a time", most.Load())
	}
}

func TestHelperOfAnotherMind(t *testing.T) {
	run := func(context.Context, backend.HelperCall) (net.Conn, error) {
		ours, theirs := net.Pipe()
		go helper.Answer(theirs, func(context.Context, *helper.Question) (*secret.Value, error) { return secret.New(7) })
		return ours, nil
	}
	if _, err := Derive(t.Context(), run, Params{Type: PBKDF2, Iterations: 600000}, "s", value(t, "pw")); !errors.Is(err, backend.ErrUnavailable) {
		t.Errorf("a key of 7 bytes: %v", err)
	}
	if _, err := Derive(t.Context(), inProcess, Params{Type: PBKDF2, Iterations: 1}, "s", value(t, "pw")); !errors.Is(err, backend.ErrUnsupported) {
		t.Errorf("out of bounds: %v", err)
	}
	if _, err := Derive(t.Context(), nil, Params{}, "s", value(t, "pw")); err == nil {
		t.Error("without helpers")
	}
}
