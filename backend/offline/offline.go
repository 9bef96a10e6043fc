// Package offline keeps copies of what was fetched from a vault on the disk, each
// an age file of its own, for a machine that has to boot without network.
//
// A copy says within its ciphertext of which backend, place and key it is and when
// it was fetched, so that none can be passed off for another by whoever may rename
// files. age does not say who has encrypted something: that nobody but us may
// write to the folder is what makes a copy ours.
package offline

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"filippo.io/age"

	"github.com/secretfs/secretfs/backend"
	"github.com/secretfs/secretfs/backend/agefile"
	"github.com/secretfs/secretfs/backend/secret"
)

// A Store is where the copies lie: a folder of one backend (package disk).
type Store interface {
	backend.Store
	// Names lists what is saved.
	Names() ([]string, error)
}

// Keys recover file keys; see sops/keys.Ring.
type Keys interface {
	FileKey(ctx context.Context, header []byte) (*secret.Value, error)
}

// A Config says of what copies are and who opens them.
type Config struct {
	Settings Settings
	Backend  string // its name in the policy
	// Source marks the place that the backend fetches from: copies from another
	// one are not served under its name.
	Source string
	Store  Store
	// Keys makes what opens copies of the files with private keys.
	Keys func(files []string) Keys
}

// Copies implements backend.Copies.
type Copies struct {
	cfg  Config
	keys Keys
}

var _ backend.Copies = (*Copies)(nil)

// New reads nothing: keys may appear later.
func New(cfg Config) *Copies {
	return &Copies{cfg: cfg, keys: cfg.Keys(cfg.Settings.Files())}
}

// A label stands at the head of the plaintext, one line of JSON.
type label struct {
	Backend string          `json:"backend"`
	Source  string          `json:"source"`
	Key     string          `json:"key"`
	Version backend.Version `json:"version"`
	Fetched time.Time       `json:"fetched"`
	Boot    string          `json:"boot"`
}

// Save encrypts a copy and replaces the one that is there.
func (c *Copies) Save(o backend.Copy) error {
	file, err := c.seal(o)
	if err != nil {
		return fmt.Errorf("encrypting the copy of %q: %w", backend.KeyText(o.Key), err)
	}
	return c.cfg.Store.Save(name(o.Key), file)
}

func (c *Copies) seal(o backend.Copy) ([]byte, error) {
	to, err := c.recipients()
	if err != nil {
		return nil, err
	}
	head, err := json.Marshal(label{c.cfg.Backend, c.cfg.Source, o.Key, o.Version, o.Fetched, o.Boot})
	if err != nil {
		return nil, err
	}
	head = append(head, '\n')
	plain, err := secret.New(len(head) + o.Value.Len())
	if err != nil {
		return nil, err
	}
	defer plain.Destroy()
	copy(plain.Bytes(), head)
	copy(plain.Bytes()[len(head):], o.Value.Bytes())
	return agefile.Encrypt(plain.Bytes(), to...)
}

// recipients are looked up at each use: the host key may be another by now.
func (c *Copies) recipients() ([]age.Recipient, error) {
	if file := c.cfg.Settings.HostKey; file != "" {
		r, err := hostRecipient(file)
		if err != nil {
			return nil, err
		}
		return []age.Recipient{r}, nil
	}
	var to []age.Recipient
	for _, text := range c.cfg.Settings.Recipients {
		r, err := parseRecipient(text)
		if err != nil {
			return nil, fmt.Errorf("recipient %q: %w", text, err)
		}
		to = append(to, r)
	}
	return to, nil
}

// Load decrypts the copy of key and checks that it is one.
func (c *Copies) Load(ctx context.Context, key string) (backend.Copy, error) {
	file, err := c.cfg.Store.Load(name(key))
	if err != nil {
		return backend.Copy{}, err
	}
	o, err := c.open(ctx, key, file)
	if err != nil {
		return backend.Copy{}, fmt.Errorf("reading the copy of %q, file %s: %w", backend.KeyText(key), name(key), err)
	}
	return o, nil
}

func (c *Copies) open(ctx context.Context, key string, file []byte) (backend.Copy, error) {
	header, nonce, payload, ok := agefile.Split(file)
	if !ok {
		return backend.Copy{}, errors.New("it is damaged: no age file")
	}
	fileKey, err := c.keys.FileKey(ctx, header)
	if err != nil {
		return backend.Copy{}, err
	}
	defer fileKey.Destroy()
	plain, err := agefile.OpenPayload(fileKey, nonce, payload)
	if err != nil {
		return backend.Copy{}, fmt.Errorf("it is damaged: %w", err)
	}
	defer plain.Destroy()
	head, value, ok := bytes.Cut(plain.Bytes(), []byte("\n"))
	var l label
	if !ok || json.Unmarshal(head, &l) != nil {
		return backend.Copy{}, errors.New("it is damaged: it holds something else")
	}
	switch {
	case l.Backend != c.cfg.Backend || l.Key != key:
		return backend.Copy{}, fmt.Errorf("it is that of %q in backend %q", backend.KeyText(l.Key), l.Backend)
	case l.Source != c.cfg.Source:
		return backend.Copy{}, errors.New("the settings of the backend were others when it was made")
	}
	v, err := secret.New(len(value))
	if err != nil {
		return backend.Copy{}, err
	}
	copy(v.Bytes(), value)
	return backend.Copy{Key: l.Key, Version: l.Version, Fetched: l.Fetched, Boot: l.Boot, Value: v}, nil
}

// Probe makes a copy of nothing, in memory, and opens it again.
func (c *Copies) Probe(ctx context.Context) error {
	empty, err := secret.New(0)
	if err != nil {
		return err
	}
	defer empty.Destroy()
	file, err := c.seal(backend.Copy{Value: empty})
	if err != nil {
		return err
	}
	o, err := c.open(ctx, "", file)
	if err != nil {
		return err
	}
	o.Value.Destroy()
	return nil
}

// Remove takes the copy of key away.
func (c *Copies) Remove(key string) error { return c.cfg.Store.Remove(name(key)) }

// Retain takes away what is a copy of none of the keys.
func (c *Copies) Retain(keys map[string]bool) error {
	names, err := c.cfg.Store.Names()
	if err != nil {
		return err
	}
	wanted := make(map[string]bool, len(keys))
	for key := range keys {
		wanted[name(key)] = true
	}
	var errs []error
	for _, n := range names {
		if !wanted[n] {
			errs = append(errs, c.cfg.Store.Remove(n))
		}
	}
	return errors.Join(errs...)
}

// name is that of a key's file. Keys hold what no file's name may, and tell of
// people's accounts.
func name(key string) string {
	sum := sha256.Sum256([]byte(key))
	return hex.EncodeToString(sum[:16]) + ".age"
}
