// Package salt names the states of secrets that come without a ciphertext or a
// number to name them by: by their content, and a random salt without which nobody
// can try out contents. The next worker goes on with the same salt.
package salt

import (
	"bytes"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"

	"github.com/secretfs/secretfs/backend"
	"github.com/secretfs/secretfs/backend/secret"
)

const (
	mark   = "secretfs salt 1\n"
	length = 32 // bytes, of the salt
	shown  = 12 // bytes, of a version
)

// A Salt is that of one backend. It is safe for concurrent use.
type Salt struct{ value *secret.Value }

// Take takes over what slot has saved, or makes a new Salt and saves it, in a
// goroutine. What is in slot for something else is left alone. Whoever owns the
// Salt closes it.
func Take(slot backend.Slot) (*Salt, error) {
	v, err := secret.New(length)
	if err != nil {
		return nil, fmt.Errorf("making a salt: %w", err)
	}
	if saved := slot.Saved.Keys.Bytes(); len(saved) == length && bytes.Equal(slot.Saved.Rest, []byte(mark)) {
		copy(v.Bytes(), saved)
		return &Salt{v}, nil
	}
	rand.Read(v.Bytes())
	if slot.Save != nil {
		go slot.Save(backend.Legacy{Keys: v.Share(), Rest: []byte(mark)})
	}
	return &Salt{v}, nil
}

// Version names the content of key. Equal contents of other keys have other names.
func (s *Salt) Version(key string, content []byte) backend.Version {
	// The hash keeps the salt on the heap until it is collected; without any
	// content beside it, it is of no use.
	h := hmac.New(sha256.New, s.value.Bytes())
	h.Write(binary.BigEndian.AppendUint64(nil, uint64(len(key))))
	h.Write([]byte(key))
	h.Write(content)
	return backend.Version(hex.EncodeToString(h.Sum(nil)[:shown]))
}

// Close wipes it. Version must not be called any more.
func (s *Salt) Close() { s.value.Destroy() }
