package bws

import (
	"context"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/secretfs/secretfs/backend"
	"github.com/secretfs/secretfs/backend/bitwarden/enc"
	"github.com/secretfs/secretfs/backend/secret"
)

const (
	diskName   = "vault.json"
	diskFormat = 1
	// diskEvery is how often the time of the last answer is written down where
	// nothing else has changed.
	diskEvery = time.Hour
)

// An onDisk is a file: the session encrypted with the key in the access token,
// and the secrets as the server has them. The MAC, with a key made of the
// organisation's, which the session holds, keeps texts from being swapped: each is
// encrypted by itself.
type onDisk struct {
	Format  int
	Session string // encrypted string
	State   json.RawMessage
	MAC     []byte
}

// A sealedSession is what is encrypted in it. The first three are as in the state
// file of Bitwarden's own kit.
type sealedSession struct {
	Version int       `json:"version"`
	JWT     string    `json:"token"`
	Key     string    `json:"encryption_key"` // base64
	Expires time.Time `json:"expires"`
	Org     string    `json:"organization"`
	Account string    `json:"account"`
}

// seal encrypts the session with the key in the access token. For that moment it
// is on the heap.
func (s *session) seal(with *enc.Key) (string, error) {
	plain, err := json.Marshal(sealedSession{
		Version: 1, JWT: string(s.jwt.Bytes()), Key: base64.StdEncoding.EncodeToString(s.key.Encoded().Bytes()),
		Expires: s.expires, Org: s.org, Account: s.account,
	})
	if err != nil {
		return "", err
	}
	defer secret.Wipe(plain)
	return with.Seal(plain)
}

func unseal(text string, with *enc.Key) (*session, error) {
	sealed, err := enc.Parse(text)
	if err != nil {
		return nil, err
	}
	plain, err := with.Open(sealed)
	if err != nil {
		return nil, err
	}
	defer plain.Destroy()
	var kept sealedSession
	if json.Unmarshal(plain.Bytes(), &kept) != nil || kept.Version != 1 {
		return nil, fmt.Errorf("the session is of another form: %w", backend.ErrUnsupported)
	}
	key, err := base64.StdEncoding.DecodeString(kept.Key)
	defer secret.Wipe(key)
	if err != nil {
		return nil, fmt.Errorf("the session is damaged: %w", backend.ErrCorrupt)
	}
	s, err := newSession(key, []byte(kept.JWT))
	if err != nil {
		return nil, err
	}
	s.org, s.account, s.expires = kept.Org, kept.Account, kept.Expires
	return s, nil
}

func diskMAC(key *enc.Key, state []byte) ([]byte, error) {
	k, err := hkdf.Key(sha256.New, key.Encoded().Bytes(), nil, "secretfs bws state", sha256.Size)
	if err != nil {
		return nil, err
	}
	defer secret.Wipe(k)
	h := hmac.New(sha256.New, k)
	h.Write(state)
	return h.Sum(nil), nil
}

// writeDisk keeps what a machine without network starts with.
func (b *Backend) writeDisk() {
	if b.env.Disk == nil {
		return
	}
	file, ok, err := b.diskFile()
	if err == nil && ok {
		err = b.env.Disk.Save(diskName, file)
	}
	if err != nil {
		b.warn("keeping the secrets for a start without network", err)
	}
}

// diskFile makes the file, if there is something new to say.
func (b *Backend) diskFile() (file []byte, ok bool, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	state, ok := b.collect()
	if !ok || b.sealed == "" || b.offline || b.written.is(b) {
		return nil, false, nil
	}
	state.Sealed, state.Offline = "", true
	text, err := json.Marshal(state)
	if err != nil {
		return nil, false, err
	}
	mac, err := diskMAC(b.session.key, text)
	if err != nil {
		return nil, false, err
	}
	b.written = written{b.vault, b.sealed, b.checked}
	file, err = json.Marshal(onDisk{diskFormat, b.sealed, text, mac})
	return file, err == nil, err
}

// A written is what the file on disk says.
type written struct {
	vault   *vault
	sealed  string
	checked time.Time
}

// is says that it is as good as what b knows. b.mu is held.
func (w written) is(b *Backend) bool {
	return w.vault == b.vault && w.sealed == b.sealed && b.checked.Sub(w.checked) < diskEvery
}

// removeDisk is called with mu held.
func (b *Backend) removeDisk() {
	b.written = written{}
	if b.env.Disk != nil {
		if err := b.env.Disk.Remove(diskName); err != nil {
			b.warn("removing what was kept for a start without network", err)
		}
	}
}

// fromDisk takes over what lies on disk, once, and says whether there was
// something. It needs the access token.
func (b *Backend) fromDisk(ctx context.Context) bool {
	b.mu.Lock()
	look := b.env.Disk != nil && !b.disk && b.vault == nil
	b.mu.Unlock()
	if !look {
		return false
	}
	t, err := b.token(ctx)
	if err != nil {
		return false // the login will say so
	}
	defer t.destroy()
	b.mu.Lock()
	defer b.mu.Unlock()
	b.disk = true
	err = b.readDisk(t.key)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		b.warn("ignoring what was kept for a start without network", err)
	}
	return err == nil
}

// readDisk is called with mu held.
func (b *Backend) readDisk(with *enc.Key) error {
	file, err := b.env.Disk.Load(diskName)
	if err != nil {
		return err
	}
	var kept onDisk
	if json.Unmarshal(file, &kept) != nil || kept.Format != diskFormat {
		return fmt.Errorf("it is damaged, or of another version: %w", backend.ErrCorrupt)
	}
	s, err := unseal(kept.Session, with)
	if err != nil {
		return fmt.Errorf("opening it with the access token: %w", err)
	}
	mac, err := diskMAC(s.key, kept.State)
	var state saved
	if err != nil || !hmac.Equal(mac, kept.MAC) || json.Unmarshal(kept.State, &state) != nil {
		s.destroy()
		return fmt.Errorf("it was changed: %w", backend.ErrCorrupt)
	}
	if state.Source != b.source() {
		s.destroy()
		return fs.ErrNotExist
	}
	state.Sealed = kept.Session
	b.put(s, &state)
	b.written = written{b.vault, b.sealed, b.checked}
	return nil
}
